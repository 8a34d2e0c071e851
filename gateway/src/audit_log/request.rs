//! A request in the terms of the audit log.

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use http::{Extensions, HeaderMap, Method, StatusCode, request::Parts};
use serde::Deserialize;
use skep_http::Peer;
use skep_protocol::{
    AuditAction::{self, *},
    AuditLogEntry, DefaultNamespace, headers,
};

use crate::auth::{Caller, address};

const REQUEST_ID: &str = "x-request-id";

/// On an answer: how many dead letters it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done(pub(crate) usize);

/// On an answer: what there is to say of a change that its action and its object do not.
#[derive(Clone, Debug)]
pub(crate) struct Details(pub(crate) String);

/// What names the object of a request.
#[derive(Clone, Copy)]
enum By {
    /// The body, a function or a secret, which are in namespaces.
    Body,
    /// The body or the path, a namespace or a source.
    Name,
    /// The first variable part of the path.
    Path,
    Nothing,
    /// `function` in the query.
    Filter,
}

const ACTIONS: [(&str, &str, AuditAction, By); 38] = [
    ("POST", "/system/functions", Deploy, By::Body),
    ("PUT", "/system/functions", Update, By::Body),
    ("DELETE", "/system/functions", Delete, By::Body),
    ("POST", "/system/function/{name}/rollback", Rollback, By::Body),
    ("POST", "/system/function/{name}/promote", Promote, By::Body),
    ("POST", "/system/scale-function/{name}", Scale, By::Body),
    ("POST", "/system/alert", Alert, By::Nothing),
    ("POST", "/system/secrets", SecretCreate, By::Body),
    ("PUT", "/system/secrets", SecretUpdate, By::Body),
    ("DELETE", "/system/secrets", SecretDelete, By::Body),
    ("POST", "/system/sources", SourceCreate, By::Name),
    ("PUT", "/system/sources", SourceUpdate, By::Name),
    ("DELETE", "/system/sources", SourceDelete, By::Name),
    ("POST", "/system/sources/{name}/pause", SourcePause, By::Path),
    ("POST", "/system/sources/{name}/resume", SourceResume, By::Path),
    ("POST", "/system/sources/{name}/fire", SourceFire, By::Path),
    ("POST", "/system/sources/{name}/backfill", SourceBackfill, By::Path),
    ("POST", "/system/sources/{name}/release", SourceRelease, By::Path),
    ("POST", "/system/sources/{name}/try", SourceTry, By::Path),
    ("POST", "/system/sources/{name}/send", SourceSend, By::Path),
    ("POST", "/system/sources/{name}/replay", SourceReplay, By::Path),
    ("PUT", "/system/sources/{name}/samples/{label}", SourceSampleKeep, By::Path),
    ("DELETE", "/system/sources/{name}/samples/{label}", SourceSampleDelete, By::Path),
    ("POST", "/system/sources/{name}/secrets", SourceSecretAdd, By::Path),
    ("DELETE", "/system/sources/{name}/secrets", SourceSecretRemove, By::Path),
    ("POST", "/system/namespace/", NamespaceCreate, By::Name),
    ("POST", "/system/namespace/{name}", NamespaceCreate, By::Name),
    ("PUT", "/system/namespace/{name}", NamespaceUpdate, By::Name),
    ("DELETE", "/system/namespace/{name}", NamespaceDelete, By::Name),
    // Of parts only what is refused leaves an entry.
    ("POST", "/system/images/blobs/{digest}", ImagePush, By::Path),
    ("PUT", "/system/images/blobs/{digest}/{number}", ImagePush, By::Path),
    ("PUT", "/system/images/manifests/{digest}", ImagePush, By::Path),
    ("DELETE", "/system/calls/{id}", Cancel, By::Path),
    ("DELETE", "/async-function/{*rest}", Cancel, By::Path),
    ("DELETE", "/system/dead", DeadPurge, By::Filter),
    ("POST", "/system/dead-redrive", Redrive, By::Filter),
    ("DELETE", "/system/dead/{id}", DeadDelete, By::Path),
    ("POST", "/system/dead/{id}/redrive", Redrive, By::Path),
];

/// A request, before it is known what comes of it.
pub(crate) struct Asked(AuditLogEntry);

impl Asked {
    /// Reads what is asked for. Only names are read from the body; it may not have arrived yet.
    pub(crate) async fn read(caller: &Caller, parts: &mut Parts, body: &[u8], default: &DefaultNamespace) -> Self {
        let (action, by) = action_of(&parts.method, parts.extensions.get().map(MatchedPath::as_str));
        let variables = RawPathParams::from_request_parts(parts, &()).await.ok();
        let segment = variables.and_then(|variables| Some(variables.iter().next()?.1.to_owned()));
        let names = Names::read(body, parts.uri.query().unwrap_or_default());
        let object = match by {
            By::Body => names.in_namespace(segment, default),
            By::Name => segment.or(names.name).unwrap_or_default(),
            By::Path => segment.unwrap_or_default(),
            By::Filter => names.function.unwrap_or_default(),
            By::Nothing if action == Other => format!("{} {}", parts.method, parts.uri.path()),
            By::Nothing => String::new(),
        };
        Self::by(caller, parts.extensions.get(), action, &object, &parts.headers)
    }

    /// A look at something, which leaves an entry only if it is refused.
    pub(crate) fn of(caller: &Caller, parts: &Parts) -> Self {
        Self::by(caller, parts.extensions.get(), Read, parts.uri.path(), &parts.headers)
    }

    /// A call of a function, which leaves an entry only if it is refused.
    pub(crate) fn call(caller: &Caller, peer: &Peer, function: &str, headers: &HeaderMap) -> Self {
        Self::by(caller, Some(peer), Invoke, function, headers)
    }

    fn by(caller: &Caller, peer: Option<&Peer>, action: AuditAction, object: &str, headers: &HeaderMap) -> Self {
        let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let entry = AuditLogEntry::new(skep_bus::now(), caller.name(), action).about(object).of_request(id);
        let (role, address) = (caller.role_name().map(str::to_owned), Some(address(peer).to_string()));
        Self(AuditLogEntry { role, address, ..entry })
    }

    /// The entry, once the answer is known.
    pub(crate) fn answered(self, status: StatusCode, headers: &HeaderMap, said: &Extensions) -> AuditLogEntry {
        let error = headers.get(headers::SKEP_ERROR).and_then(|code| code.to_str().ok()).map(str::to_owned);
        let count = said.get().map(|Done(count)| *count as u64);
        let entry = AuditLogEntry { at: skep_bus::now(), status: Some(status.as_u16()), error, count, ..self.0 };
        match said.get() {
            Some(Details(details)) => entry.with_details(details),
            None => entry,
        }
    }

    /// The entry of what was refused before it was begun.
    pub(crate) fn refused(self, error: &crate::Error) -> AuditLogEntry {
        let (status, code) = error.status();
        AuditLogEntry { status: Some(status.as_u16()), error: Some(code.to_owned()), ..self.0 }
    }
}

fn action_of(method: &Method, route: Option<&str>) -> (AuditAction, By) {
    let row = ACTIONS.iter().find(|(verb, path, ..)| *verb == method.as_str() && Some(*path) == route);
    row.map_or((Other, By::Nothing), |&(_, _, action, by)| (action, by))
}

/// The names in a body and a query. The rest, such as a secret's value, is not read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Names {
    service: Option<String>,
    service_name: Option<String>,
    function_name: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    /// Of the query alone.
    #[serde(skip)]
    function: Option<String>,
}

impl Names {
    fn read(body: &[u8], query: &str) -> Self {
        let mut names: Self = serde_json::from_slice(body).unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match &*name {
                "function" => names.function = Some(value.into_owned()),
                "namespace" if names.namespace.as_deref().unwrap_or_default().is_empty() => {
                    names.namespace = Some(value.into_owned());
                }
                _ => {}
            }
        }
        names
    }

    /// `NAME`, or `NAME.NAMESPACE` in another namespace than the default one.
    fn in_namespace(self, of_path: Option<String>, default: &DefaultNamespace) -> String {
        let named = [of_path, self.service, self.function_name, self.service_name, self.name];
        let name = named.into_iter().flatten().find(|name| !name.is_empty());
        let (Some(name), namespace) = (name, self.namespace.unwrap_or_default()) else { return String::new() };
        match default.function_in(&name, &namespace) {
            Ok(function) => function.to_string(),
            // A secret may have a name that no function can have; an invalid name is written as it came.
            Err(_) => match default.other(&namespace) {
                Ok(None) => name,
                Ok(Some(_)) | Err(_) => format!("{name}.{namespace}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, rows_with_rights};

    async fn asked(method: &str, uri: &str, body: &str) -> AuditLogEntry {
        let (mut parts, ()) = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        parts.headers.insert(REQUEST_ID, http::HeaderValue::from_static("r-1"));
        let caller = Caller::new("token ci", Role::Deploy, Vec::new());
        Asked::read(&caller, &mut parts, body.as_bytes(), &DefaultNamespace::default()).await.0
    }

    #[test]
    fn every_route_that_changes_something_has_an_action() {
        for (method, route) in rows_with_rights().filter(|(method, _)| *method != "GET") {
            let action = action_of(&method.parse().unwrap(), Some(route)).0;
            assert_ne!(action, Other, "{method} {route} has no row in ACTIONS");
        }
    }

    #[tokio::test]
    async fn who_asks_is_told_and_a_route_that_is_not_there_is_told_as_it_came() {
        let entry = asked("PATCH", "/system/functions?x=secret", "{}").await;
        assert_eq!((entry.action.as_str(), entry.object.as_deref()), ("other", Some("PATCH /system/functions")));
        assert_eq!((entry.actor.as_str(), entry.role.as_deref()), ("token ci", Some("deploy")));
        assert_eq!(entry.request_id.as_deref(), Some("r-1"));
    }

    #[test]
    fn what_a_body_and_a_query_name_is_told_and_nothing_else() {
        let object = |body: &str, query: &str| {
            Names::read(body.as_bytes(), query).in_namespace(None, &DefaultNamespace::default())
        };
        assert_eq!(object(r#"{"service":"upper","namespace":"dev","envProcess":"env"}"#, ""), "upper.dev");
        assert_eq!(object(r#"{"service":"upper","namespace":"openfaas-fn"}"#, ""), "upper");
        assert_eq!(object(r#"{"functionName":"upper.dev"}"#, ""), "upper.dev");
        assert_eq!(object(r#"{"functionName":"upper"}"#, "namespace=dev"), "upper.dev");
        assert_eq!(object(r#"{"name":"key","value":"s3cret","namespace":null}"#, ""), "key");
        assert_eq!(object(r#"{"name":"API_KEY","namespace":"dev"}"#, ""), "API_KEY.dev");
        assert_eq!((object("", "").as_str(), object("[1]", "").as_str()), ("", ""));
        let path = Names::read(b"{}", "").in_namespace(Some("upper".to_owned()), &DefaultNamespace::default());
        assert_eq!(path, "upper");
        assert_eq!(Names::read(b"", "function=upper.dev&x=1").function.as_deref(), Some("upper.dev"));
    }
}
