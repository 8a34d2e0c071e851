//! What a redrive changes, and what its caller gets as an answer, without a bus.

use skep_protocol::CallState;

use super::*;

fn changes(json: &str) -> Result<Edit> {
    edit(serde_json::from_str(json).unwrap())
}

#[test]
fn only_what_is_named_is_changed() {
    let edit = changes("{}").unwrap();
    assert!(edit.body.is_none() && edit.path.is_none() && edit.query.is_none() && edit.headers.is_empty());
    let edit =
        changes(r#"{"text":"wax","path":"/a","query":"x=1","headers":{"x-size":"small","x-old":null}}"#).unwrap();
    assert_eq!((edit.body.as_deref(), edit.path.as_deref()), (Some(&b"wax"[..]), Some("/a")));
    assert_eq!(edit.query.as_deref(), Some("x=1"));
    let mut headers: Vec<_> = edit.headers.iter().map(|(name, value)| (name.as_str(), value.is_some())).collect();
    headers.sort_unstable();
    assert_eq!(headers, [("x-old", false), ("x-size", true)]);
    assert_eq!(changes(r#"{"body":"d2F4"}"#).unwrap().body.as_deref(), Some(&b"wax"[..]));
}

#[test]
fn a_change_that_no_request_can_have_is_refused_by_its_name() {
    for (json, name) in [
        (r#"{"path":"a"}"#, "path"),
        (r#"{"path":"/a?b"}"#, "path"),
        (r#"{"query":"a b"}"#, "query"),
        (r#"{"body":"*"}"#, "body"),
        (r#"{"headers":{"x y":"1"}}"#, "x y"),
        (r#"{"headers":{"x":"a\nb"}}"#, "header x"),
    ] {
        let refused = changes(json).unwrap_err();
        assert!(matches!(&refused, Error::InvalidRequest(reason) if reason.contains(name)), "{json}: {refused}");
    }
    // An empty path or query takes it away.
    assert!(changes(r#"{"path":"","query":""}"#).is_ok());
}

#[test]
fn a_redrive_that_does_nothing_says_why() {
    let id: CallId = "order-17".parse().unwrap();
    for redriven in [Redriven::Sent, Redriven::UnderWay] {
        assert!(answer_to_redrive(redriven, &id).is_ok());
    }
    for (redriven, reason) in [
        (Redriven::Otherwise, "another request"),
        (Redriven::Ended(CallState::Succeeded), "succeeded"),
        (Redriven::Impossible("its headers are not kept".to_owned()), "not kept"),
    ] {
        let refused = answer_to_redrive(redriven, &id).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
        // One of many that are redriven is passed over.
        assert!(is_about_the_dead_letter(&refused));
    }
}

#[test]
fn many_redrives_stop_when_nothing_works() {
    assert!(!is_about_the_dead_letter(&Error::Bus(skep_bus::Error::unavailable("away"))));
    assert!(!is_about_the_dead_letter(&Error::Disconnected));
    assert!(is_about_the_dead_letter(&Error::Bus(skep_bus::Error::TooLarge { limit: 7 })));
}
