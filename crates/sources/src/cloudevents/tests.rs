//! CloudEvents as they come and as they are sent.

use http::HeaderMap;
use skep_protocol::Proof;

use crate::{
    Decision, EventError, FunctionRequest, Receiver,
    testing::{Sent, receiver, value},
};

fn cloudevents(routes: &str) -> Receiver {
    receiver(&format!("preset: cloudevents\nsecrets: [a]\nroutes: {routes}\n"))
}

fn binary() -> Sent {
    Sent::new("{\"n\":1.50}")
        .header("ce-specversion", "1.0")
        .header("ce-id", "1")
        .header("ce-source", "/s")
        .header("ce-type", "Order.Made")
        .header("ce-subject", "caf%C3%A9%20%22x%22")
}

fn structured(body: &str) -> Sent {
    Sent::new(body).header("content-type", "application/cloudevents+json; charset=utf-8")
}

const STRUCTURED: &str =
    r#"{"specversion":"1.0","id":"1","source":"/s","type":"Order.Made","subject":"café","n":5,"data":{"n":1.50}}"#;

#[test]
fn the_identity_is_source_and_id_together_in_each_mode() {
    let receiver = cloudevents("[]");
    let one = |sent: &Sent| {
        let events = receiver.events(&sent.request(), Proof::Token).unwrap();
        assert_eq!((events.len(), events[0].event_type.as_deref()), (1, Some("order.made")));
        events[0].id.clone()
    };
    let id = one(&binary());
    assert_eq!((id.as_str().len(), &id.as_str()[..1]), (41, "h"));
    assert_eq!(id, one(&structured(STRUCTURED)));
    assert_ne!(id, one(&binary().header("ce-source", "/t")));
    assert_ne!(id, one(&binary().header("ce-source", "/").header("ce-id", "s1")));
}

#[test]
fn a_batch_is_several_events_and_one_that_is_wrong_refuses_all() {
    let receiver = cloudevents("[{to: f}]");
    let batch = |body: &str| Sent::new(body).header("content-type", "application/cloudevents-batch+json");
    let other = STRUCTURED.replace("\"id\":\"1\"", "\"id\":\"2\"");
    let sent = batch(&format!("[{STRUCTURED}, {other} ,{STRUCTURED}]"));
    let events = receiver.events(&sent.request(), Proof::Token).unwrap();
    let many = |count: usize| {
        receiver.events(&batch(&format!("[{}]", vec![STRUCTURED; count].join(","))).request(), Proof::Token).is_ok()
    };
    assert!(many(1000) && !many(1001));
    // The third is the first again.
    assert_eq!(
        events.iter().map(|event| event.request.body).collect::<Vec<_>>(),
        [STRUCTURED.as_bytes(), other.as_bytes()]
    );
    assert_ne!(events[0].id, events[1].id);
    let headers = receiver.stored_headers(&events[0].request);
    assert_eq!(headers.get("content-type").unwrap(), "application/cloudevents+json");
    assert_eq!(receiver.decide(&events[0]).routes.len(), 1);
    for bad in ["[]", "{}", "[1]", &format!("[{STRUCTURED}, {{}}]"), &format!("[{}]", vec!["{}"; 1001].join(","))] {
        let sent = batch(bad);
        let found = receiver.events(&sent.request(), Proof::Token);
        assert!(matches!(found, Err(EventError::Malformed(_))), "{bad}");
    }
}

#[test]
fn what_is_no_cloudevent_is_refused() {
    let receiver = cloudevents("[]");
    let error = |sent: &Sent| receiver.events(&sent.request(), Proof::Token).unwrap_err();
    let format = |kind: &str| error(&binary().header("content-type", kind));
    for kind in ["application/cloudevents+avro", "application/cloudevents-batch+protobuf", "Application/CloudEvents"] {
        assert!(matches!(format(kind), EventError::UnsupportedFormat(_)), "{kind}");
    }
    for sent in [
        Sent::new("{}"),
        binary().header("ce-specversion", "0.3"),
        binary().header("ce-id", ""),
        binary().header("ce-extension", "%ff"),
        structured("no json"),
        structured("{}"),
        structured(&STRUCTURED.replace("\"1.0\"", "1.0")),
        structured(&STRUCTURED.replace("\"id\":\"1\"", "\"id\":1")),
    ] {
        let error = error(&sent);
        assert!(matches!(error, EventError::Malformed(_)), "{error}");
    }
    let mut twice = binary();
    twice.headers.append("ce-id", "2".parse().unwrap());
    assert!(matches!(error(&twice), EventError::Malformed(_)));
}

#[test]
fn filters_read_attributes_in_each_mode() {
    let receiver =
        cloudevents("[{to: f, filter: {header.ce-subject: 'café', header.ce-type: Order.Made, type: order.made}}]");
    let decide = |sent: &Sent| receiver.decide(&receiver.events(&sent.request(), Proof::Token).unwrap()[0]);
    let matched = Decision { routes: vec!["f".parse().unwrap()], ignored: vec![] };
    assert_eq!(decide(&structured(STRUCTURED)), matched);
    assert_eq!(decide(&binary().header("ce-subject", "caf%C3%A9")), matched);
    // Decoded once.
    assert_ne!(decide(&binary().header("ce-subject", "caf%25C3%25A9")), matched);
}

#[test]
fn both_places_of_the_token_are_taken_and_none_is_stored() {
    let receiver = cloudevents("[]");
    let sent = binary().header("authorization", "Bearer hush").query("access_token=hush&a=1");
    assert_eq!(receiver.stored_headers(&sent.request()).get("authorization").unwrap().as_bytes(), "…".as_bytes());
    assert_eq!(receiver.stored_query(&sent.request()).unwrap(), "access_token=%E2%80%A6&a=1");
    let secrets = crate::Secrets::new(vec![crate::Secret::new("1", "hush")]);
    for (sent, accepted) in [
        (binary().header("authorization", "Bearer hush"), true),
        (binary().query("access_token=hush"), true),
        (binary().query("access_token=other"), false),
        (binary(), false),
    ] {
        assert_eq!(receiver.verify(&sent.request(), &secrets).is_accepted(), accepted, "{:?}", sent.headers);
    }
}

fn sent_to_function<'e>(receiver: &Receiver, sent: &'e Sent) -> FunctionRequest<'e> {
    let events = receiver.events(&sent.request(), Proof::Token).unwrap();
    receiver.function_request(&receiver.routes()[0], &events[0])
}

fn attributes(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut attributes: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    attributes.sort_unstable();
    attributes
}

#[test]
fn an_event_is_sent_as_a_binary_one() {
    let receiver =
        receiver("{verify: none, id: ['header:x-id'], type: '{header:x-type}', routes: [{to: f, send: cloudevents}]}");
    let sent = Sent::new("{\"n\":1.50}")
        .header("x-id", "7")
        .header("x-type", "a b")
        .header("ce-forged", "1")
        .path("/grün \"%");
    let request = sent_to_function(&receiver, &sent);
    let expected = [
        ("ce-id", "7"),
        ("ce-source", "/skep/source/shop"),
        ("ce-specversion", "1.0"),
        ("ce-subject", "gr%C3%BCn%20%22%25"),
        ("ce-time", "2025-11-29T12:00:00.5Z"),
        ("ce-type", "shop.a-b"),
    ];
    assert_eq!(attributes(&request.headers), expected);
    assert_eq!((&*request.body, value(&request.headers, "content-type")), (&b"{\"n\":1.50}"[..], "application/json"));
}

#[test]
fn an_event_is_sent_as_one_object() {
    let receiver = receiver("{verify: none, id: ['header:x-id'], routes: [{to: f, send: cloudevents-structured}]}");
    let object = |sent: Sent| {
        let sent = sent.header("x-id", "7");
        let request = sent_to_function(&receiver, &sent);
        assert_eq!(value(&request.headers, "content-type"), "application/cloudevents+json");
        String::from_utf8(request.body.into_owned()).unwrap()
    };
    let head = r#"{"datacontenttype":"KIND","id":"7","source":"/skep/source/shop","specversion":"1.0","time":"2025-11-29T12:00:00.5Z","type":"shop","#;
    for (kind, body, data) in [
        // JSON stays as it is written.
        (
            "application/json",
            &b"{\"n\":1.50, \"big\":123456789012345678901234567890}"[..],
            r#""data":{"n":1.50, "big":123456789012345678901234567890}}"#,
        ),
        ("text/plain", b"a\"b", r#""data":"a\"b"}"#),
        ("application/json", b"no json", r#""data_base64":"bm8ganNvbg=="}"#),
        ("image/png", b"\xff", r#""data_base64":"/w=="}"#),
    ] {
        let sent = Sent { body: body.to_vec(), ..Sent::new("").header("content-type", kind) };
        assert_eq!(object(sent), format!("{}{data}", head.replace("KIND", kind)));
    }
}

#[test]
fn a_cloudevent_changes_its_mode_and_keeps_its_attributes() {
    let to_binary = cloudevents("[{to: f, send: cloudevents}]");
    let sent = structured(STRUCTURED);
    let request = sent_to_function(&to_binary, &sent);
    let expected = [
        ("ce-id", "1"),
        ("ce-n", "5"),
        ("ce-source", "/s"),
        ("ce-specversion", "1.0"),
        ("ce-subject", "caf%C3%A9"),
        ("ce-type", "Order.Made"),
    ];
    assert_eq!(attributes(&request.headers), expected);
    assert_eq!((&*request.body, value(&request.headers, "content-type")), (&b"{\"n\":1.50}"[..], "application/json"));
    let encoded = structured(
        &STRUCTURED.replace(r#""data":{"n":1.50}"#, r#""data_base64":"/w==","datacontenttype":"image/png""#),
    );
    let request = sent_to_function(&to_binary, &encoded);
    assert_eq!((&*request.body, value(&request.headers, "content-type")), (&b"\xff"[..], "image/png"));
    let as_it_came = binary();
    assert_eq!(&*sent_to_function(&to_binary, &as_it_came).body, as_it_came.body);

    let to_structured = cloudevents("[{to: f, send: cloudevents-structured}]");
    let request = sent_to_function(&to_structured, &as_it_came);
    let object: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&object["subject"], &object["type"], &object["data"]["n"]),
        (&"café \"x\"".into(), &"Order.Made".into(), &1.5.into())
    );
    assert_eq!(attributes(&request.headers), []);
    assert_eq!(&*sent_to_function(&to_structured, &sent).body, STRUCTURED.as_bytes());
}
