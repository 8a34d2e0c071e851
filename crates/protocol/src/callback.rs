//! The callback URL of an asynchronous call.

use url::Url;

/// Reads `X-Callback-Url`: an absolute `http` or `https` URL with a host. The error says what is wrong.
pub fn parse_callback(text: &str) -> Result<Url, String> {
    let text = text.trim();
    // The parser of URLs forgives much (`http:a`, spaces), so what is absolute is looked at first.
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err("X-Callback-Url must be an absolute URL that begins with http:// or https://".to_owned());
    }
    let url: Url = text.parse().map_err(|error| format!("X-Callback-Url is not a URL: {error}"))?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        Some(_) | None => Err("X-Callback-Url has no host".to_owned()),
    }
}

/// The URL as it may be shown: without user and password.
pub fn without_credentials(mut url: Url) -> Url {
    // Both only fail for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_are_taken() {
        for good in ["http://a", "HTTPS://user:pass@example.com:8443/x?y=1", "http://[::1]:80/"] {
            assert!(parse_callback(good).is_ok(), "{good}");
        }
        for bad in ["", "/x", "example.com", "ftp://a", "http://", "javascript:1", "http//a", "file:///etc/passwd"] {
            assert!(parse_callback(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let url = parse_callback("https://user:pass@example.com/x?y=1").unwrap();
        assert_eq!(without_credentials(url).as_str(), "https://example.com/x?y=1");
    }
}
