use http::StatusCode;
use skep_protocol::CallBody;

use super::*;

fn answer(status: u16, reason: Option<&str>) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: CallBody::empty(),
        reason: reason.map(str::to_owned),
    }
}

#[test]
fn a_call_succeeds_by_a_good_answer_that_is_the_functions_own() {
    assert_eq!(end_of(Some(&answer(204, None))), CallState::Succeeded);
    assert_eq!(end_of(Some(&answer(302, None))), CallState::Succeeded);
    assert_eq!(end_of(Some(&answer(404, None))), CallState::Failed);
    assert_eq!(end_of(Some(&answer(200, Some("the answer is too large")))), CallState::Failed);
    assert_eq!(end_of(None), CallState::Failed);
}

#[test]
fn a_record_that_nats_refuses_is_stored_without_its_result() {
    let call = Call::new("order-17".parse().unwrap(), "resize".parse().unwrap(), skep_bus::now());
    let good = Answer { body: bytes::Bytes::from_static(b"large").into(), ..answer(200, None) };
    let record = Attempt::begin(2, 3).record(&call, CallState::Succeeded, Some(good));
    let bare = bare(&record, &Error::TooLarge { limit: 7 });
    assert_eq!((bare.status.state, bare.status.attempts), (CallState::Succeeded, 2));
    assert_eq!(bare.body, CallBody::empty());
    let reason = bare.status.reason.unwrap();
    assert!(reason.contains("cannot be stored") && reason.contains('7'), "{reason}");
}
