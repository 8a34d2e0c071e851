//! Protects the admin API from web pages: from requests of other sites, and from host names that were made to point here (DNS rebinding).
//!
//! `tower_http::csrf` has the same rule for changes, but lets every GET pass, and some of these hold a place for as long as they like (logs, events).

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use http::{HeaderMap, HeaderName, Method, Uri, header, uri::Authority};

use crate::{Error, Result};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What is asked of a request for the admin API before anything else is.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// `None`: any host will do.
    hosts: Option<Hosts>,
    /// Whether web pages, the web UI's own among them, may only look.
    is_read_only: bool,
}

/// The hosts by which the admin API may be reached, beside `localhost` and loopback addresses.
#[derive(Debug)]
struct Hosts {
    listen: IpAddr,
    names: Vec<String>,
}

impl Guard {
    /// A page that came by a host name of its own cannot know a password, so with one only `names` that were given are insisted on.
    pub(crate) fn new(listen: IpAddr, names: &[String], has_credentials: bool, is_read_only: bool) -> Arc<Self> {
        let hosts = Hosts { listen: listen.to_canonical(), names: names.to_vec() };
        let hosts = Some(hosts).filter(|hosts| !has_credentials || !hosts.names.is_empty());
        Arc::new(Self { hosts, is_read_only })
    }

    /// Guards all routes of a router, those for unknown paths and wrong verbs included.
    pub(crate) fn protect<S: Clone + Send + Sync + 'static>(self: &Arc<Self>, router: Router<S>) -> Router<S> {
        router.layer(middleware::from_fn_with_state(Arc::clone(self), admit))
    }

    /// Guards single verbs of a path whose others are open.
    pub(crate) fn protect_methods<S: Clone + Send + Sync + 'static>(
        self: &Arc<Self>,
        methods: MethodRouter<S>,
    ) -> MethodRouter<S> {
        methods.route_layer(middleware::from_fn_with_state(Arc::clone(self), admit))
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let host = host(uri, headers);
        if let (Some(hosts), Some(host)) = (&self.hosts, host)
            && !hosts.allow(host)
        {
            return Err(Error::HostNotAllowed(host.chars().take(100).collect()));
        }
        if is_of_another_site(headers, host) && !is_visit(method, uri, headers) {
            return Err(Error::CrossSite);
        }
        if self.is_read_only && !method.is_safe() && is_of_a_page(headers) {
            return Err(Error::Forbidden("web pages change nothing here (--ui read): use the command skep".to_owned()));
        }
        Ok(())
    }
}

async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

impl Hosts {
    /// An address cannot be made to point elsewhere, a name can.
    fn allow(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_own = match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => address.is_loopback() || self.listen.is_unspecified() || address == self.listen,
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        is_own || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The host and port that the caller asked for. Only HTTP/1.0, which no browser speaks, may leave it out.
fn host<'request>(uri: &'request Uri, headers: &'request HeaderMap) -> Option<&'request str> {
    let in_header = || headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    uri.authority().map(Authority::as_str).or_else(in_header)
}

/// Whether a page sent the request: one of another site, or the web UI.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(FETCH_SITE) || headers.contains_key(header::ORIGIN)
}

/// Whether a page of another origin sent the request. Programs send neither header, and pages can set neither.
fn is_of_another_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    match (headers.get(FETCH_SITE), headers.get(header::ORIGIN)) {
        (Some(site), _) => site != "same-origin" && site != "none",
        // A browser that is old, or that came over plain HTTP, tells only where the page is from.
        (None, Some(origin)) => {
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            !origin.zip(host).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    }
}

/// Whether somebody followed a link to the user interface.
fn is_visit(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name, value| headers.get(name).is_some_and(|given| given == value);
    let is_page = uri.path().strip_prefix("/ui").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_page && *method == Method::GET && says(FETCH_MODE, "navigate") && says(FETCH_DEST, "document")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn judged(guard: &Guard, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<()> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard.check(&parts.method, &parts.uri, &parts.headers)
    }

    #[test]
    fn only_hosts_that_cannot_be_made_to_point_here_are_allowed() {
        let names = ["skep.example".to_owned()];
        let loopback = Guard::new("127.0.0.1".parse().unwrap(), &names, false, false);
        let any_address = Guard::new("::".parse().unwrap(), &names, false, false);
        let is_allowed = |guard: &Guard, host: &str| judged(guard, "GET", "/system/info", &[("host", host)]).is_ok();
        for good in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:1",
            "Skep.Example:443",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_allowed(&loopback, good) && is_allowed(&any_address, good), "{good}");
        }
        for bad in [
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "skep.example.evil.test",
            "",
            "a b",
            "x\u{e9}",
        ] {
            assert!(!is_allowed(&loopback, bad) && !is_allowed(&any_address, bad), "{bad}");
        }
        assert!(!is_allowed(&loopback, "192.0.2.1") && is_allowed(&any_address, "192.0.2.1:8080"));
        assert!(judged(&loopback, "GET", "http://evil.test/system/info", &[("host", "localhost")]).is_err());
        assert!(judged(&loopback, "GET", "/system/info", &[]).is_ok());
    }

    #[test]
    fn a_password_makes_the_host_matter_only_where_names_are_given() {
        let listen = "127.0.0.1".parse().unwrap();
        let host = [("host", "evil.test")];
        assert!(judged(&Guard::new(listen, &[], true, false), "GET", "/system/info", &host).is_ok());
        assert!(
            judged(&Guard::new(listen, &["a.test".to_owned()], true, false), "GET", "/system/info", &host).is_err()
        );
    }

    #[test]
    fn pages_of_other_sites_are_told_by_what_browsers_say() {
        let guard = Guard::default();
        let passes = |headers: &[(&str, &str)]| {
            judged(&guard, "POST", "/system/functions", &[&[("host", "a.test:8080")], headers].concat()).is_ok()
        };
        let (site, origin) = ("sec-fetch-site", "origin");
        assert!(passes(&[]) && passes(&[(site, "none")]) && passes(&[(origin, "http://A.test:8080")]));
        // A proxy may have changed the host.
        assert!(passes(&[(site, "same-origin"), (origin, "https://outer.test")]));
        for foreign in ["cross-site", "same-site", "", "other"] {
            assert!(!passes(&[(site, foreign)]), "{foreign}");
        }
        for foreign in
            ["http://a.test", "http://b.test:8080", "null", "", "a.test:8080", "http://a.test:8080.evil.test"]
        {
            assert!(!passes(&[(origin, foreign)]), "{foreign}");
        }
    }

    #[test]
    fn a_read_only_ui_lets_pages_look_and_programs_change() {
        let guard = Guard { is_read_only: true, ..Guard::default() };
        let own_page = [("host", "a.test"), ("sec-fetch-site", "same-origin")];
        let old_page = [("host", "a.test"), ("origin", "http://a.test")];
        for page in [own_page, old_page] {
            assert!(judged(&guard, "GET", "/system/functions", &page).is_ok());
            assert!(judged(&guard, "DELETE", "/system/functions", &page).is_err());
            assert!(judged(&Guard::default(), "DELETE", "/system/functions", &page).is_ok());
        }
        assert!(judged(&guard, "DELETE", "/system/functions", &[("host", "a.test")]).is_ok());
    }

    #[test]
    fn a_link_may_lead_to_the_user_interface_and_to_nothing_else() {
        let guard = Guard::default();
        let visit = |method: &str, path: &str, dest: &str| {
            let said = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", dest)];
            judged(&guard, method, path, &said).is_ok()
        };
        assert!(visit("GET", "/ui", "document") && visit("GET", "/ui/calls/a", "document"));
        assert!(
            !visit("GET", "/ui/", "iframe") && !visit("POST", "/ui/", "document") && !visit("GET", "/uis", "document")
        );
        assert!(!visit("GET", "/system/calls", "document"));
    }
}
