//! Which of the two formats of metrics a request asks for.

use http::{HeaderMap, header};

const OPENMETRICS: &str = "application/openmetrics-text";
const PLAIN: &str = "text/plain";
/// The version that is written; a request that names none takes it too.
const VERSION: &str = "1.0.0";

/// Whether `Accept` names OpenMetrics, and does not prefer plain text to it.
pub(super) fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let mut best = 0.0;
    let mut plain = 0.0;
    let given = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in given.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut quality, mut has_version) = (1.0, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0),
                "version" => has_version = value.trim().trim_matches('"') == VERSION,
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case(OPENMETRICS) && has_version {
            best = quality.max(best);
        } else if kind.eq_ignore_ascii_case(PLAIN) {
            plain = quality.max(plain);
        }
    }
    best > 0.0 && best >= plain
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wants(accept: &[&'static str]) -> bool {
        let values = accept.iter().map(|&value| (header::ACCEPT, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| _ = headers.append(name, value));
        wants_openmetrics(&headers)
    }

    #[test]
    fn openmetrics_is_for_those_who_name_it_and_prefer_nothing_to_it() {
        // As Prometheus 2 and 3 send it.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for wanted in [
            &[two][..],
            &[three],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; Version=\"1.0.0\" ; charset=utf-8"],
            &["text/plain;q=0.5", "application/openmetrics-text"],
        ] {
            assert!(wants(wanted), "{wanted:?}");
        }
        for plain in [
            &[][..],
            &["*/*"],
            &["text/plain, application/openmetrics-text;q=0.9"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=much"],
            &["application/openmetrics-text;q=NaN"],
            &["application/*"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        ] {
            assert!(!wants(plain), "{plain:?}");
        }
    }
}
