use super::*;

const NOW: i64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn receipt(call_id: &str, since: i64) -> Note<'_> {
    Note::Receipt { function: "f", call_id, since }
}

/// The counts, and which calls are in doubt, of receipts and what was seen.
fn books(receipts: &[Note<'_>], see: impl Fn(&mut Books)) -> (FunctionLedger, Vec<Doubt>) {
    let mut books = Books::new(at(NOW), Duration::from_secs(1000), HOUR);
    receipts.iter().for_each(|note| books.note(note));
    books.close_receipts();
    see(&mut books);
    books.close_messages();
    let doubts = receipts.iter().filter_map(|note| books.settle(note)).collect();
    (books.ledgers.remove(0), doubts)
}

#[test]
fn each_call_is_counted_once_wherever_it_was_seen() {
    let receipts: Vec<String> = (0..5).map(|number| format!("call-{number}")).collect();
    let receipts: Vec<Note<'_>> = receipts.iter().map(|id| receipt(id, NOW - 100)).collect();
    let (ledger, doubts) = books(&receipts, |books| {
        books.open("call-0", "f", true);
        books.open("call-1", "f", false);
        books.open("call-1", "f", true);
        books.open("call-2", "f", true);
        books.dead_letter("call-3", "f", 1, at(NOW - 50));
        books.record("call-2", "f", CallState::Succeeded, at(NOW - 10));
        books.record("call-3", "f", CallState::Dead, at(NOW - 10));
        books.record("no-receipt", "f", CallState::Failed, at(NOW - 10));
    });
    assert_eq!((ledger.in_flight, ledger.succeeded, ledger.dead, ledger.failed), (2, 1, 1, 1));
    let missing: Vec<&str> = doubts.iter().map(|doubt| doubt.call_id.as_str()).collect();
    assert_eq!(missing, ["call-4"]);
}

#[test]
fn what_may_have_run_out_is_not_missed() {
    let brief = Note::Brief { function: "f", seconds: 50 };
    let receipts = [receipt("old", NOW - 2000), receipt("young", NOW - 100)];
    let (ledger, doubts) = books(&receipts, |_| {});
    assert_eq!((ledger.expired, doubts.len()), (1, 1));
    let (ledger, doubts) = books(&[receipts[0], receipts[1], brief], |_| {});
    assert_eq!((ledger.expired, doubts.len()), (2, 0));
    let removed = Note::Removed { before: NOW - 50 };
    let (ledger, doubts) = books(&[receipts[0], receipts[1], removed], |_| {});
    assert_eq!((ledger.expired, doubts.len()), (2, 0));
    // Sent on its way again.
    let (ledger, doubts) = books(&[receipt("twice", NOW - 2000), receipt("twice", NOW - 100)], |_| {});
    assert_eq!((ledger.expired, doubts.len()), (0, 1));
}

#[test]
fn a_dead_letter_without_a_record_and_a_message_that_was_left_are_in_doubt() {
    let mut books = Books::new(at(NOW), Duration::from_secs(100_000), HOUR);
    books.close_receipts();
    books.dead_letter("dead", "f", 7, at(NOW - 50));
    books.dead_letter("running-again", "f", 8, at(NOW - 50));
    books.open("running-again", "f", true);
    books.open("left", "f", true);
    books.open("waits-for-its-time", "f", false);
    let ended = at(NOW - 3601);
    let left = books.record("left", "f", CallState::Cancelled, ended).unwrap();
    assert_eq!((left.kind, left.call_id.as_str()), (AuditKind::LeftOver, "left"));
    assert_eq!(books.record("waits-for-its-time", "f", CallState::Cancelled, ended), None);
    let lone: Vec<u64> = books.close_messages().iter().map(|letter| letter.sequence).collect();
    assert_eq!(lone, [7]);
    assert_eq!((books.ledgers[0].dead, books.ledgers[0].in_flight, books.ledgers[0].cancelled), (1, 1, 2));
}
