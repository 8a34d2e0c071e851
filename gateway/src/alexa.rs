//! Recognizes Alexa requests, and finds the function of an intent.

use serde::Deserialize;
use skep_protocol::FunctionName;

/// The intent of a body that is an Alexa request: JSON with a session, an application and an intent.
pub(crate) fn intent_of(body: &[u8]) -> Option<String> {
    let request: AlexaRequest = serde_json::from_slice(body).ok()?;
    let required =
        [&request.session.session_id, &request.session.application.application_id, &request.request.intent.name];
    required.iter().all(|text| !text.is_empty()).then_some(request.request.intent.name)
}

/// What a function for an intent may be called: `HostnameIntent` is `hostnameintent` or `hostname-intent`.
pub(crate) fn function_names(intent: &str) -> impl Iterator<Item = FunctionName> {
    [intent.to_lowercase(), kebab_case(intent)]
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .filter(|name: &FunctionName| name.namespace().is_none())
}

#[derive(Deserialize)]
struct AlexaRequest {
    session: Session,
    request: IntentRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    session_id: String,
    application: Application,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Application {
    application_id: String,
}

#[derive(Deserialize)]
struct IntentRequest {
    intent: Intent,
}

#[derive(Deserialize)]
struct Intent {
    name: String,
}

fn kebab_case(camel: &str) -> String {
    let mut kebab = String::with_capacity(camel.len() + 4);
    let mut letters = camel.chars().peekable();
    let mut before: Option<char> = None;
    while let Some(letter) = letters.next() {
        let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        // A word begins at a capital after a small letter, and at the last capital of several: GetHTTPStatus.
        let begins_word = before.is_some_and(|before| {
            before.is_lowercase() || before.is_ascii_digit() || (before.is_uppercase() && next_is_lower)
        });
        if letter.is_uppercase() && begins_word {
            kebab.push('-');
        }
        kebab.extend(if letter == '_' { '-' } else { letter }.to_lowercase());
        before = Some(letter);
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(session: &str, application: &str, intent: &str) -> String {
        format!(
            r#"{{"version":"1.0","session":{{"new":true,"sessionId":"{session}","application":{{"applicationId":"{application}"}}}},
            "request":{{"type":"IntentRequest","intent":{{"name":"{intent}","slots":{{}}}}}}}}"#
        )
    }

    #[test]
    fn an_alexa_request_has_session_application_and_intent() {
        assert_eq!(intent_of(body("s", "a", "HostnameIntent").as_bytes()).as_deref(), Some("HostnameIntent"));
        for missing in [body("", "a", "I"), body("s", "", "I"), body("s", "a", "")] {
            assert_eq!(intent_of(missing.as_bytes()), None, "{missing}");
        }
        for other in ["", "{}", "null", "[1]", "sessionId", r#"{"session":{"sessionId":1}}"#] {
            assert_eq!(intent_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(intent_of(b"\xff\xfe"), None);
    }

    #[test]
    fn an_intent_means_a_function_in_lower_or_kebab_case() {
        let names = |intent: &str| function_names(intent).map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names("HostnameIntent"), ["hostnameintent", "hostname-intent"]);
        assert_eq!(names("GetHTTPStatus"), ["gethttpstatus", "get-http-status"]);
        assert_eq!(names("node_info"), ["node-info"]);
        assert_eq!(names("hostname-intent"), ["hostname-intent", "hostname-intent"]);
        assert!(names("AMAZON.HelpIntent").is_empty());
    }
}
