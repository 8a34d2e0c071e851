//! Where the answer of an asynchronous call goes: `X-Callback-Url`.

use url::Url;

use crate::{DefaultNamespace, FunctionName};

/// What a callback URL points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackTarget {
    /// `http` or `https`: the answer is posted there.
    Web,
    /// `skep://NAME[/PATH][?QUERY]`: the answer is the body of a call of that function.
    Function { name: FunctionName, path: String, query: Option<String> },
    /// `nats://SUBJECT`: the answer is published there.
    Subject(String),
}

impl CallbackTarget {
    /// Tells what a URL points at. The error says what is wrong with it.
    pub fn of(url: &Url, namespace: &DefaultNamespace) -> Result<Self, String> {
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err("X-Callback-Url has no host".to_owned());
        };
        match url.scheme() {
            "http" | "https" => Ok(Self::Web),
            "skep" => Ok(Self::Function {
                name: namespace.function(host).map_err(|error| format!("X-Callback-Url: {error}"))?,
                path: url.path().to_owned(),
                query: url.query().map(str::to_owned),
            }),
            "nats" if is_subject(host) && matches!(url.path(), "" | "/") => Ok(Self::Subject(host.to_owned())),
            "nats" => Err("X-Callback-Url: a nats:// URL is one subject, without wildcards".to_owned()),
            other => Err(format!("X-Callback-Url: {other}:// is none of http://, https://, skep:// and nats://")),
        }
    }
}

/// Reads `X-Callback-Url`: an absolute URL that [`CallbackTarget::of`] understands. The error says what is wrong.
pub fn parse_callback(text: &str, namespace: &DefaultNamespace) -> Result<Url, String> {
    let text = text.trim();
    // The parser of URLs forgives much (`http:a`, spaces), so absolute URLs are checked first.
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https" | "skep" | "nats")) {
        return Err(
            "X-Callback-Url must be an absolute URL that begins with http:// or https:// (or skep://, nats://)"
                .to_owned(),
        );
    }
    let url: Url = text.parse().map_err(|error| format!("X-Callback-Url is not a URL: {error}"))?;
    CallbackTarget::of(&url, namespace).map(|_| url)
}

/// The URL as it may be shown: without user and password.
pub fn without_credentials(mut url: Url) -> Url {
    // Both only fail for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn is_subject(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.split('.').all(|token| !token.is_empty() && token.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<CallbackTarget, String> {
        let namespace = DefaultNamespace::default();
        CallbackTarget::of(&parse_callback(text, &namespace)?, &namespace)
    }

    #[test]
    fn only_absolute_urls_of_known_kinds_are_taken() {
        for good in ["http://a", "HTTPS://user:pass@example.com:8443/x?y=1", "http://[::1]:80/"] {
            assert_eq!(target(good), Ok(CallbackTarget::Web), "{good}");
        }
        for bad in [
            "",
            "/x",
            "example.com",
            "ftp://a",
            "http://",
            "javascript:1",
            "http//a",
            "file:///etc/passwd",
            "skep://",
            "skep://Not_A_Name",
            "nats://",
            "nats://a.*",
            "nats://a.>",
            "nats://a..b",
            "nats://$SYS.x",
            "nats://a/b",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn functions_and_subjects_are_reported() {
        let function = |path: &str, query: Option<&str>| CallbackTarget::Function {
            name: "resize".parse().unwrap(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
        };
        assert_eq!(target("skep://resize"), Ok(function("", None)));
        assert_eq!(target("skep://resize.openfaas-fn/a%2Fb?size=2"), Ok(function("/a%2Fb", Some("size=2"))));
        assert_eq!(
            target("nats://callback.Orders.done"),
            Ok(CallbackTarget::Subject("callback.Orders.done".to_owned()))
        );
    }

    #[test]
    fn credentials_are_not_shown() {
        let url = without_credentials("https://user:pass@example.com/x".parse().unwrap());
        assert_eq!(url.as_str(), "https://example.com/x");
    }
}
