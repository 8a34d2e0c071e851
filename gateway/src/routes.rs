//! All routes: which need a login, which are counted, and the answer for unknown paths.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next, map_response},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use prometheus::Registry;
use skep_protocol::headers;

use crate::{
    Error, UiMode, alert,
    app::App,
    async_function, audit, audit_log, auth,
    browsers::Guard,
    calls, dead, events, figures, functions, hooks, images, logs,
    metrics::{self, HttpMetrics},
    namespaces, pages, platform, root, secrets, sources, status, ui, versions,
};

/// One row per route: its template and its verbs.
pub(crate) type Routes = Vec<(&'static str, MethodRouter<Arc<App>>)>;

/// What the routes are made with.
pub(crate) struct Assembly<'gateway> {
    pub(crate) app: Arc<App>,
    pub(crate) guard: &'gateway Arc<Guard>,
    pub(crate) http_metrics: HttpMetrics,
    /// What `/metrics` shows on the gateway's own port, if it is there.
    pub(crate) own_port_metrics: Option<Registry>,
}

impl Assembly<'_> {
    /// All routes at one entry point.
    pub(crate) fn together(self) -> Router {
        let asynchronous = in_our_words(async_function::calls().merge(self.cancels()).merge(hooks::routes()));
        let root = root::router(self.app.ui != UiMode::Off);
        self.finish(self.open(root).merge(self.counted(asynchronous.merge(self.admin_api()))))
    }

    /// The entry point of callers, and that of the admin API.
    pub(crate) fn apart(self) -> (Router, Router) {
        let calls = self.counted(in_our_words(async_function::calls().merge(hooks::routes())));
        let public = self.finish(self.open(root::router(false)).merge(calls));
        let admin_api = in_our_words(platform::open_router(None))
            .merge(self.counted(in_our_words(self.cancels()).merge(self.admin_api())));
        (public, self.finish(admin_api))
    }

    fn open(&self, root: Router<Arc<App>>) -> Router<Arc<App>> {
        in_our_words(root.merge(platform::open_router(self.own_port_metrics.clone())))
    }

    fn admin_api(&self) -> Router<Arc<App>> {
        let closed = closed().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
        let confined = auth::confine(in_our_words(closed), &self.app);
        let closed = auth::protect(confined, Arc::clone(&self.app.auth));
        let guarded = self.guard.protect(closed.layer(middleware::from_fn(refuse_callbacks)));
        guarded.layer(middleware::from_fn(ui::protect))
    }

    fn cancels(&self) -> Router<Arc<App>> {
        async_function::cancels(self.guard, &self.app)
    }

    fn counted(&self, router: Router<Arc<App>>) -> Router<Arc<App>> {
        router.layer(middleware::from_fn_with_state(self.http_metrics.clone(), metrics::count))
    }

    fn finish(&self, router: Router<Arc<App>>) -> Router {
        let router = router.fallback(route_not_found).layer(map_response(pages::take_at_its_word));
        router.with_state(Arc::clone(&self.app))
    }
}

/// Templates of all routes that are closed to strangers, so that a test can walk them.
pub fn closed_paths() -> Vec<&'static str> {
    closed().into_iter().map(|(path, _)| path).collect()
}

/// The one table of what is closed to strangers; what each route asks of its callers is in `auth/rights.rs`.
fn closed() -> Routes {
    let mut table = Routes::new();
    let resources = [
        alert::routes(),
        audit::routes(),
        audit_log::routes(),
        calls::routes(),
        dead::routes(),
        events::routes(),
        figures::routes(),
        functions::routes(),
        hooks::api_routes(),
        images::routes(),
        logs::routes(),
        namespaces::routes(),
        platform::routes(),
        secrets::routes(),
        sources::routes(),
        versions::routes(),
        status::routes(),
        ui::routes(),
    ];
    table.extend(resources.into_iter().flatten());
    // What does not exist under these prefixes, or not yet, is behind the same layer.
    for path in ["/system", "/system/", "/system/{*rest}"] {
        table.push((path, any(route_not_found)));
    }
    table
}

/// A wrong verb is refused as everything else is. It must come before a layer, or the refusal would pass it by.
fn in_our_words<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.method_not_allowed_fallback(async || Error::MethodNotAllowed)
}

/// A caller chooses where a callback goes, and often what it says, so it must not act as somebody who administers skep.
///
/// Every callback of skep has this header, and no other client has a reason for it.
async fn refuse_callbacks(request: Request, next: Next) -> Response {
    if request.headers().contains_key(headers::FUNCTION_STATUS) {
        return Error::IsCallback.into_response();
    }
    next.run(request).await
}

async fn route_not_found() -> Error {
    Error::RouteNotFound
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use http::{HeaderMap, Request, StatusCode};
    use skep_protocol::DefaultNamespace;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        AuthConfig, Credentials,
        audit_log::AuditLog,
        auth::{Auth, rows_with_rights},
    };

    async fn ask(router: &Router, method: &str, path: &str, authorization: Option<&str>) -> (StatusCode, HeaderMap) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, _) = response.into_parts();
        (parts.status, parts.headers)
    }

    /// The real table and the real layer, with handlers that need no bus.
    fn walkable() -> Router {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("basic-auth-user"), "admin").unwrap();
        std::fs::write(folder.path().join("basic-auth-password"), "secret").unwrap();
        let credentials = Credentials::read(folder.path()).unwrap();
        let config = AuthConfig { credentials, tokens_file: folder.path().join("tokens.json") };
        let registry = Registry::new();
        let audit_log = Arc::new(AuditLog::register(None, &registry).unwrap());
        let auth = Auth::new(Some(config), audit_log, DefaultNamespace::default(), &registry).unwrap();
        let reached =
            closed_paths().into_iter().fold(Router::new(), |router, path| router.route(path, get(async || "reached")));
        auth::protect(in_our_words(reached), Arc::new(auth)).fallback(route_not_found)
    }

    #[test]
    fn every_closed_route_has_a_row_in_the_table_of_rights() {
        let rows: Vec<_> = rows_with_rights().map(|(_, path)| path).collect();
        let is_a_rest = |path: &str| ["/system", "/system/", "/system/{*rest}"].contains(&path);
        for path in closed_paths().into_iter().filter(|path| !is_a_rest(path)) {
            assert!(rows.contains(&path), "{path} has no row in auth/rights.rs");
        }
        for path in rows {
            assert!(closed_paths().contains(&path) || path.starts_with("/async-function"), "{path} is no route");
        }
    }

    #[tokio::test]
    async fn every_closed_route_asks_for_credentials() {
        let router = walkable();
        assert!(closed_paths().len() > 10);
        for template in closed_paths() {
            let path = template.replace("{*rest}", "a/b").replace(['{', '}'], "");
            for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
                for bad in [None, Some("Bearer skep_0_0"), Some("Basic YWRtaW46d3Jvbmc=")] {
                    let (status, headers) = ask(&router, method, &path, bad).await;
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {bad:?}");
                    assert_eq!(headers["www-authenticate"], r#"Basic realm="Restricted""#);
                    assert_eq!(headers["x-skep-error"], "unauthorized");
                }
                let (status, _) = ask(&router, "GET", &path, Some("Basic YWRtaW46c2VjcmV0")).await;
                assert_eq!(status, StatusCode::OK, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn unknown_routes_and_wrong_verbs_are_refused_in_our_words() {
        let router = walkable();
        let (status, headers) = ask(&router, "GET", "/nowhere", None).await;
        assert_eq!((status, &headers["x-skep-error"]), (StatusCode::NOT_FOUND, &"not_found".parse().unwrap()));
        let (status, headers) = ask(&router, "PUT", "/system/info", Some("Basic YWRtaW46c2VjcmV0")).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers["x-skep-error"], "not_allowed");
        assert_eq!(headers["allow"], "GET,HEAD");
    }
}
