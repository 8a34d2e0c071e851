//! Who may do what: a password, tokens with roles, and one layer over `/system` and `/ui` that asks for them.

mod changes;
mod credentials;
mod failures;
mod given;
mod rights;
mod role;
mod scope;
mod token;
mod tokens;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use http::{HeaderMap, Method, header, request::Parts};
use prometheus::Registry;
use skep_http::Peer;
use skep_protocol::{DefaultNamespace, FunctionName};
use tokio_util::sync::CancellationToken;

pub(crate) use self::role::{Caller, Need};
pub use self::{
    credentials::Credentials,
    role::Role,
    token::{NewToken, Token, TokenFile},
};
use self::{failures::Failures, given::Given, tokens::Tokens};
use crate::{
    Error, Result,
    app::App,
    audit_log::{Asked, AuditLog},
};

/// What callers are asked for.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    pub credentials: Credentials,
    /// It may be missing, and come later.
    pub tokens_file: PathBuf,
}

/// Knows callers by what they send.
pub(crate) struct Auth {
    /// `None` if nobody has to log in.
    known: Option<Known>,
    failures: Failures,
    anyone: Caller,
    audit_log: Arc<AuditLog>,
    default_namespace: DefaultNamespace,
}

struct Known {
    credentials: Credentials,
    /// The caller who has the password.
    admin: Caller,
    tokens: Tokens,
}

impl Auth {
    pub(crate) fn new(
        config: Option<AuthConfig>,
        audit_log: Arc<AuditLog>,
        default_namespace: DefaultNamespace,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let known = |AuthConfig { credentials, tokens_file }| {
            let admin = Caller::new(format_args!("user {}", credentials.user()), Role::Admin, Vec::new());
            anyhow::Ok(Known { credentials, admin, tokens: Tokens::read(&tokens_file)? })
        };
        Ok(Self {
            known: config.map(known).transpose()?,
            failures: Failures::register(registry)?,
            anyone: Caller::anonymous(),
            audit_log,
            default_namespace,
        })
    }

    /// Takes up changes of the file of tokens, until `end`.
    pub(crate) async fn follow(&self, end: &CancellationToken) {
        if let Some(known) = &self.known {
            known.tokens.follow(&self.audit_log, end).await;
        }
    }

    /// Who sends these headers; refused if that cannot be known.
    pub(crate) async fn caller(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller> {
        let Some(known) = &self.known else { return Ok(self.anyone.clone()) };
        let given = Given::read(headers);
        if given == Given::Nothing {
            return Err(Error::Unauthorized);
        }
        if let Some(caller) = known.certain_holder(&given) {
            return Ok(caller);
        }
        let address = address(peer);
        if let Some(pause) = self.failures.pause(address) {
            return Err(self.login_failed(address, Error::TooManyFailures(pause)));
        }
        let Some(caller) = known.holder(&given).await else {
            self.failures.note(address);
            return Err(self.login_failed(address, Error::Unauthorized));
        };
        if let Given::Basic(pair) = &given
            && known.credentials.are(pair)
        {
            self.failures.forgive(address);
        }
        Ok(caller)
    }

    /// Refuses a caller who may not call all of these functions. The token is not for them, so it is taken away.
    pub(crate) async fn let_in(
        &self,
        functions: &[&FunctionName],
        default: &DefaultNamespace,
        headers: &mut HeaderMap,
        peer: &Peer,
    ) -> Result<()> {
        if self.known.is_none() {
            let reason = "this function asks for a token, and this gateway knows none: start it with --basic-auth";
            return Err(Error::Forbidden(reason.to_owned()));
        }
        let caller = self.caller(headers, Some(peer)).await?;
        for function in functions {
            let may = caller.require(Need::Invoke).and_then(|()| caller.require_function(function, default));
            if let Err(error) = may {
                let asked = Asked::call(&caller, peer, &function.to_string(), headers);
                self.audit_log.refused(&caller, asked.refused(&error));
                return Err(error);
            }
        }
        headers.remove(header::AUTHORIZATION);
        Ok(())
    }

    /// Whether a caller has logged in and may call a function that asks for a token.
    pub(crate) fn may_call(&self, caller: &Caller, function: &FunctionName, default: &DefaultNamespace) -> bool {
        self.known.is_some()
            && caller.require(Need::Invoke).is_ok()
            && caller.require_function(function, default).is_ok()
    }

    /// The caller of a request, if it may make it.
    async fn admit(&self, parts: &mut Parts) -> Result<Caller> {
        let caller = self.caller(&parts.headers, parts.extensions.get()).await?;
        let route = parts.extensions.get().map(MatchedPath::as_str);
        if let Err(error) = caller.require(rights::of(&parts.method, route).need) {
            let asked = match parts.method {
                Method::GET | Method::HEAD | Method::OPTIONS => Asked::of(&caller, parts),
                // The body is not read for somebody who may not do this.
                _ => Asked::read(&caller, parts, &[], &self.default_namespace).await,
            };
            self.audit_log.refused(&caller, asked.refused(&error));
            return Err(error);
        }
        Ok(caller)
    }

    /// Logs a login that has failed.
    fn login_failed(&self, address: IpAddr, error: Error) -> Error {
        let (status, code) = error.status();
        self.audit_log.login_failed(address, status.as_u16(), code);
        error
    }
}

impl Known {
    /// The holder of a password or a token that nobody can guess: no pause makes it safer, and failures of others at the same address must not keep its holder out.
    fn certain_holder(&self, given: &Given) -> Option<Caller> {
        match given {
            Given::Basic(pair) if self.credentials.are(pair) => {
                self.credentials.cannot_be_guessed().then(|| self.admin.clone())
            }
            given => self.tokens.known_holder(given.token()?),
        }
    }

    async fn holder(&self, given: &Given) -> Option<Caller> {
        match given {
            Given::Basic(pair) if self.credentials.are(pair) => Some(self.admin.clone()),
            given => self.tokens.holder(given.token()?).await,
        }
    }
}

pub(crate) fn address(peer: Option<&Peer>) -> IpAddr {
    let text = peer.and_then(|peer| peer.ip.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Closes all routes of a router, those for unknown paths and wrong verbs included.
pub(crate) fn protect<S: Clone + Send + Sync + 'static>(router: Router<S>, auth: Arc<Auth>) -> Router<S> {
    router.layer(middleware::from_fn_with_state(auth, require))
}

/// Keeps callers that are limited to namespaces within them, and reports what is changed; inside of [`protect`].
pub(crate) fn confine<S: Clone + Send + Sync + 'static>(router: Router<S>, app: &Arc<App>) -> Router<S> {
    let confined = router.layer(middleware::from_fn_with_state(Arc::clone(app), scope::confine));
    confined.layer(middleware::from_fn_with_state(Arc::clone(app), changes::log))
}

/// Closes single verbs of a path whose others are open.
pub(crate) fn protect_methods<S: Clone + Send + Sync + 'static>(
    methods: MethodRouter<S>,
    app: &Arc<App>,
) -> MethodRouter<S> {
    let confined = methods.route_layer(middleware::from_fn_with_state(Arc::clone(app), scope::confine));
    let logged = confined.route_layer(middleware::from_fn_with_state(Arc::clone(app), changes::log));
    logged.route_layer(middleware::from_fn_with_state(Arc::clone(&app.auth), require))
}

async fn require(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match auth.admit(&mut parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

/// Verbs and routes that have a row in the table of rights.
#[cfg(test)]
pub(crate) use rights::rows as rows_with_rights;
