//! How a span names the method of a request.

use std::borrow::Cow;

use http::Method;

/// The name of a method, for which nothing is allocated where it is a usual one.
pub fn method_name(method: &Method) -> Cow<'static, str> {
    let usual = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let name = method.as_str();
    usual.into_iter().find(|usual| *usual == name).map_or_else(|| name.to_owned().into(), Cow::Borrowed)
}
