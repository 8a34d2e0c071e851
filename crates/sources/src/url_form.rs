//! The URL that a provider signs: the configured one, never one that is built of what the sender said.

use crate::scheme::UrlForm;

/// The configured URL with the query that came, and its other forms.
pub(crate) fn all(configured: Option<&str>, query: Option<&str>, also: &[UrlForm]) -> Vec<String> {
    let Some(configured) = configured else { return Vec::new() };
    let url = with_query(configured, query);
    let mut urls = vec![url];
    for form in also {
        let more: Vec<_> = urls
            .iter()
            .filter_map(|url| match form {
                UrlForm::DefaultPort => other_port(url),
                UrlForm::Unescaped => Some(unescape(url)),
            })
            .collect();
        for url in more {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    urls
}

pub(crate) fn with_query(configured: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{}?{query}", configured.split_once('?').map_or(configured, |(url, _)| url)),
        None => configured.to_owned(),
    }
}

/// With the scheme's default port if the URL has none, or without it.
pub(crate) fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (host, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
    if let Some(host) = host.strip_suffix(port) {
        return Some(format!("{scheme}://{host}{path}"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    (!has_port).then(|| format!("{scheme}://{host}{port}{path}"))
}

/// Decodes the escapes of `: / ? @ ! $ ' ( ) * , ;`.
fn unescape(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let decoded = after.split_at_checked(2).and_then(|(digits, after)| {
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            b":/?@!$'()*,;".contains(&byte).then_some((char::from(byte), after))
        });
        match decoded {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_the_one_that_came() {
        assert_eq!(with_query("https://h/x", Some("a=1")), "https://h/x?a=1");
        assert_eq!(with_query("https://h/x?b=2", Some("a=1")), "https://h/x?a=1");
        assert_eq!(with_query("https://h/x?b=2", None), "https://h/x?b=2");
    }

    #[test]
    fn the_default_port_comes_and_goes() {
        for (url, other) in [
            ("https://h/x?a=1", Some("https://h:443/x?a=1")),
            ("https://h:443/x", Some("https://h/x")),
            ("http://h", Some("http://h:80")),
            ("https://h:8443/x", None),
            ("https://[::1]/x", Some("https://[::1]:443/x")),
        ] {
            assert_eq!(other_port(url).as_deref(), other, "{url}");
        }
    }

    #[test]
    fn twelve_escapes_are_decoded() {
        let url = "https://h/%3A%2f%3F%40%21%24%27%28%29%2A%2C%3B%20%25%é%4";
        assert_eq!(unescape(url), "https://h/:/?@!$'()*,;%20%25%é%4");
    }
}
