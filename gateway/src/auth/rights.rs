//! The table of the rights that each route requires.

use http::Method;

use super::{
    role::Need::{self, Admin, Any, Deploy, Invoke, Read},
    scope::Scope,
};

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    pub(super) need: Need,
    pub(super) scope: Scope,
}

/// What has no row here is for those who may do everything.
const UNKNOWN: Right = Right { need: Admin, scope: Scope::Everything };

const RIGHTS: [(&str, &str, Need, Scope); 80] = [
    ("GET", "/system/functions", Read, Scope::Namespace),
    ("POST", "/system/functions", Deploy, Scope::Deployment),
    ("PUT", "/system/functions", Deploy, Scope::Deployment),
    ("DELETE", "/system/functions", Deploy, Scope::Deletion),
    ("GET", "/system/function/{name}", Read, Scope::Function),
    ("GET", "/system/function/{name}/versions", Read, Scope::Function),
    ("GET", "/system/function/{name}/versions/{version}", Read, Scope::Function),
    ("POST", "/system/function/{name}/rollback", Deploy, Scope::Function),
    ("GET", "/system/function/{name}/canary", Read, Scope::Function),
    ("POST", "/system/function/{name}/promote", Deploy, Scope::Function),
    ("POST", "/system/scale-function/{name}", Deploy, Scope::Scaling),
    ("POST", "/system/alert", Deploy, Scope::Everything),
    ("GET", "/system/secrets", Read, Scope::Namespace),
    ("POST", "/system/secrets", Deploy, Scope::Secret),
    ("PUT", "/system/secrets", Deploy, Scope::Secret),
    ("DELETE", "/system/secrets", Deploy, Scope::Secret),
    ("GET", "/system/sources", Read, Scope::Everything),
    ("POST", "/system/sources", Deploy, Scope::Everything),
    ("PUT", "/system/sources", Deploy, Scope::Everything),
    ("DELETE", "/system/sources", Deploy, Scope::Everything),
    ("GET", "/system/sources/{name}", Read, Scope::Everything),
    ("GET", "/system/sources/{name}/logs", Read, Scope::Everything),
    ("POST", "/system/sources/{name}/pause", Deploy, Scope::Everything),
    ("POST", "/system/sources/{name}/resume", Deploy, Scope::Everything),
    ("GET", "/system/sources/{name}/next", Read, Scope::Everything),
    ("POST", "/system/sources/{name}/fire", Deploy, Scope::Everything),
    ("POST", "/system/sources/{name}/backfill", Deploy, Scope::Everything),
    ("GET", "/system/sources/{name}/events", Read, Scope::Everything),
    ("GET", "/system/sources/{name}/events/{id}", Read, Scope::Everything),
    ("GET", "/system/sources/{name}/events/{id}/body", Read, Scope::Everything),
    ("GET", "/system/sources/{name}/held", Read, Scope::Everything),
    ("POST", "/system/sources/{name}/release", Deploy, Scope::Everything),
    ("GET", "/system/sources/{name}/samples", Read, Scope::Everything),
    ("PUT", "/system/sources/{name}/samples/{label}", Deploy, Scope::Everything),
    ("DELETE", "/system/sources/{name}/samples/{label}", Deploy, Scope::Everything),
    ("POST", "/system/sources/{name}/try", Read, Scope::Everything),
    ("POST", "/system/sources/{name}/send", Deploy, Scope::Everything),
    ("POST", "/system/sources/{name}/replay", Deploy, Scope::Everything),
    ("GET", "/system/sources/{name}/secrets", Read, Scope::Everything),
    ("POST", "/system/sources/{name}/secrets", Deploy, Scope::Everything),
    ("DELETE", "/system/sources/{name}/secrets", Deploy, Scope::Everything),
    ("GET", "/system/presets", Read, Scope::Nothing),
    ("GET", "/system/presets/{name}", Read, Scope::Nothing),
    // What is named by its hash is of no namespace.
    ("GET", "/system/images", Read, Scope::Nothing),
    ("GET", "/system/images/blobs/{digest}", Deploy, Scope::Nothing),
    ("POST", "/system/images/blobs/{digest}", Deploy, Scope::Nothing),
    ("PUT", "/system/images/blobs/{digest}/{number}", Deploy, Scope::Nothing),
    ("PUT", "/system/images/manifests/{digest}", Deploy, Scope::Nothing),
    ("GET", "/system/logs", Read, Scope::Log),
    ("GET", "/system/streams", Read, Scope::Everything),
    ("GET", "/system/nats", Read, Scope::Everything),
    // A limited caller gets what is in its namespaces.
    ("GET", "/system/status", Read, Scope::Nothing),
    ("GET", "/system/stats", Read, Scope::Nothing),
    ("GET", "/system/stats/stream", Read, Scope::Nothing),
    ("GET", "/system/stats/history", Read, Scope::Filter),
    ("GET", "/system/info", Any, Scope::Nothing),
    ("GET", "/system/namespaces", Read, Scope::Everything),
    ("GET", "/system/namespace/{name}", Read, Scope::Everything),
    ("POST", "/system/namespace/", Admin, Scope::Everything),
    ("POST", "/system/namespace/{name}", Admin, Scope::Everything),
    ("PUT", "/system/namespace/{name}", Admin, Scope::Everything),
    ("DELETE", "/system/namespace/{name}", Admin, Scope::Everything),
    ("GET", "/system/calls", Read, Scope::Filter),
    ("GET", "/system/calls/{id}", Any, Scope::Call),
    ("GET", "/system/calls/{id}/result", Any, Scope::Call),
    ("GET", "/system/calls/{id}/events", Any, Scope::Call),
    ("DELETE", "/system/calls/{id}", Invoke, Scope::Call),
    ("DELETE", "/async-function/{*rest}", Invoke, Scope::QueuedCall),
    ("GET", "/system/events", Read, Scope::Filter),
    ("GET", "/system/dead", Read, Scope::Filter),
    ("DELETE", "/system/dead", Deploy, Scope::Filter),
    ("POST", "/system/dead-redrive", Deploy, Scope::Filter),
    ("GET", "/system/dead/{id}", Read, Scope::DeadLetter),
    ("DELETE", "/system/dead/{id}", Deploy, Scope::DeadLetter),
    ("POST", "/system/dead/{id}/redrive", Deploy, Scope::DeadLetter),
    ("GET", "/system/audit", Read, Scope::Everything),
    ("GET", "/system/audit-log", Admin, Scope::Everything),
    ("GET", "/ui", Any, Scope::Nothing),
    ("GET", "/ui/", Any, Scope::Nothing),
    ("GET", "/ui/{*rest}", Any, Scope::Nothing),
];

/// What a route asks, by its verb and its template.
pub(super) fn of(method: &Method, route: Option<&str>) -> Right {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let row = RIGHTS.iter().find(|(verb, path, ..)| *verb == method && Some(*path) == route);
    row.map_or(UNKNOWN, |&(_, _, need, scope)| Right { need, scope })
}

/// The verbs and templates of all rows.
#[cfg(test)]
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    RIGHTS.iter().map(|(verb, path, ..)| (*verb, *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_row_is_for_admins_and_head_is_like_get() {
        assert_eq!(of(&Method::HEAD, Some("/system/functions")).need, Read);
        for (method, route) in
            [(Method::PATCH, Some("/system/functions")), (Method::GET, Some("/system")), (Method::GET, None)]
        {
            let right = of(&method, route);
            assert_eq!((right.need, right.scope), (Admin, Scope::Everything));
        }
    }
}
