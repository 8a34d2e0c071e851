use super::*;

fn rows() -> Rows {
    Rows::new(OffsetDateTime::UNIX_EPOCH)
}

fn second(seq: u64, functions: &[(&str, u64)]) -> Stats {
    let functions = functions.iter().map(|(name, done)| FunctionStats {
        name: name.parse().unwrap(),
        calls: CallFigures { done: *done, ..CallFigures::default() },
        waiting: 0,
        age_ms: 0,
        unseen: false,
        replicas: 1,
        ready: 1,
        starting: 0,
        complete: true,
        scaling: None,
        scaled: None,
    });
    let at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seq);
    Stats { at, seq, ms: 1000, functions: functions.collect(), totals: Totals::default() }
}

fn deployed(names: &[&str]) -> Vec<Deployed> {
    names.iter().map(|name| Deployed { name: (*name).to_owned(), replicas: 1, ready: 1, problem: None }).collect()
}

fn compare(rows: &mut Rows, names: &[&str], has_nats: bool, now: Instant) {
    rows.compare(deployed(names), has_nats, now, OffsetDateTime::UNIX_EPOCH);
}

fn names(view: &View) -> Vec<&str> {
    view.functions.iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn only_what_has_changed_is_sent_again() {
    let (mut rows, now) = (rows(), Instant::now());
    compare(&mut rows, &["a", "b", "c"], true, now);
    rows.take(&second(1, &[("a", 5), ("b", 1)]), now);
    let first = rows.since(None, |_| true, false);
    assert_eq!((names(&first), first.all), (vec!["a", "b", "c"], true));
    rows.take(&second(2, &[("a", 5), ("b", 2)]), now);
    compare(&mut rows, &["a", "b", "c"], true, now);
    let next = rows.since(Some(first.turn), |_| true, false);
    assert_eq!((names(&next), next.all), (vec!["b", "c"], false), "a whole second has not named c, so nothing waits");
    rows.take(&second(3, &[("b", 2)]), now);
    rows.take(&second(4, &[("b", 2)]), now);
    let calmed = rows.since(Some(next.turn), |_| true, false);
    assert_eq!((names(&calmed), calmed.functions[0].calls.done), (vec!["a"], 0), "it was left out");
    let nothing = rows.since(Some(calmed.turn), |_| true, false);
    assert!(nothing.functions.is_empty() && nothing.gone.is_empty());
}

#[test]
fn what_is_deleted_is_named_and_what_comes_back_is_not() {
    let (mut rows, now) = (rows(), Instant::now());
    compare(&mut rows, &["a", "b"], true, now);
    let turn = rows.since(None, |_| true, false).turn;
    compare(&mut rows, &["b"], true, now);
    assert_eq!(rows.since(Some(turn), |_| true, false).gone, ["a"]);
    assert!(rows.since(Some(turn), |name| name == "b", true).gone.is_empty(), "only to those who may see it");
    compare(&mut rows, &["a", "b"], true, now);
    let again = rows.since(Some(turn), |_| true, false);
    assert_eq!((again.gone.len(), names(&again)), (0, vec!["a"]));
}

#[test]
fn it_is_said_when_no_figures_come() {
    let (mut rows, now) = (rows(), Instant::now());
    compare(&mut rows, &["a"], true, now);
    assert_eq!(rows.state, State::NoController);
    rows.take(&second(1, &[]), now);
    compare(&mut rows, &["a"], true, now + Duration::from_secs(1));
    assert_eq!(rows.state, State::Live);
    compare(&mut rows, &["a"], false, now + Duration::from_secs(2));
    assert_eq!(rows.state, State::NoNats);
    compare(&mut rows, &["a"], true, now + Duration::from_secs(4));
    assert_eq!(rows.state, State::NoController);
}

#[test]
fn a_limited_caller_sees_its_functions_and_their_sums() {
    let (mut rows, now) = (rows(), Instant::now());
    compare(&mut rows, &["a", "b.dev"], true, now);
    rows.take(&second(1, &[("a", 5), ("b_dev", 2)]), now);
    let view = rows.since(None, |name| name.ends_with(".dev"), true);
    let totals = view.totals.totals;
    assert_eq!((names(&view), totals.calls.done, totals.functions), (vec!["b.dev"], 2, 1));
}

#[test]
fn what_is_not_known_of_a_queue_is_left_out() {
    let (mut rows, now) = (rows(), Instant::now());
    let waiting = |rows: &Rows| serde_json::to_value(&rows.since(None, |_| true, false).functions[0]).unwrap();
    compare(&mut rows, &["a"], true, now);
    assert_eq!(waiting(&rows)["waiting"], serde_json::Value::Null, "the controller has said nothing yet");
    let mut blind = second(1, &[("a", 5)]);
    blind.functions[0].unseen = true;
    rows.take(&blind, now);
    assert_eq!(waiting(&rows)["waiting"], serde_json::Value::Null);
    rows.take(&second(2, &[("a", 5)]), now);
    assert_eq!((&waiting(&rows)["waiting"], &waiting(&rows)["ageMs"]), (&0.into(), &0.into()));
}

#[test]
fn times_become_quantiles_of_each_function_and_of_those_that_a_caller_sees() {
    let (mut rows, now) = (rows(), Instant::now());
    compare(&mut rows, &["a", "b.dev"], true, now);
    let mut stats = second(1, &[("a", 1), ("b_dev", 1)]);
    stats.functions[0].calls.times.count(0, 1);
    stats.functions[1].calls.times.count(9, 1);
    rows.take(&stats, now);
    let shown = serde_json::to_value(rows.since(None, |name| name.ends_with(".dev"), true)).unwrap();
    let (row, totals) = (&shown["functions"][0], &shown["totals"]);
    assert_eq!((&row["p50Ms"], &row["p95Ms"], &row["times"]), (&375.0.into(), &487.5.into(), &().into()));
    assert_eq!((&totals["p50Ms"], &totals["times"]), (&375.0.into(), &().into()));
    rows.take(&second(2, &[]), now);
    rows.take(&second(3, &[]), now);
    let calmed = serde_json::to_value(rows.since(None, |_| true, false)).unwrap();
    assert_eq!(calmed["functions"][0]["p50Ms"], serde_json::Value::Null);
}
