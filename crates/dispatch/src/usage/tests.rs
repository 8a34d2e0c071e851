use http::StatusCode;
use prometheus::Registry;
use tokio::time::advance;

use super::*;
use crate::metrics::Metrics;

struct Calls {
    usage: Arc<Usage>,
    metrics: FunctionMetrics,
}

impl Calls {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::register(&Registry::new()).unwrap());
        Self { usage: Arc::default(), metrics: metrics.of_function(&"cat".parse().unwrap()) }
    }

    fn begin(&self) -> Instant {
        self.metrics.count_start();
        let now = Instant::now();
        self.usage.begin(now);
        now
    }

    fn end(&self, began: Instant, code: StatusCode) {
        self.metrics.count_end(code, began.elapsed(), None);
        self.usage.end(Instant::now(), began.elapsed());
    }

    fn take(&self) -> Option<CallFigures> {
        self.usage.take(&self.metrics)
    }
}

/// That of one call, by the place of its bucket.
fn took(bucket: usize) -> CallTimes {
    let mut times = CallTimes::default();
    times.count(bucket, 1);
    times
}

#[tokio::test(start_paused = true)]
async fn a_call_is_reported_from_its_begin_to_after_its_end_and_then_no_more() {
    let calls = Calls::new();
    assert_eq!(calls.take(), None);
    let began = calls.begin();
    advance(Duration::from_secs(1)).await;
    let running = CallFigures { in_flight: 1, busy_ms: 1000, ..CallFigures::default() };
    assert_eq!(calls.take(), Some(CallFigures { arrived: 1, ..running }));
    advance(Duration::from_secs(1)).await;
    assert_eq!(calls.take(), Some(CallFigures { longest_ms: 1000, ..running }));
    advance(Duration::from_millis(500)).await;
    calls.end(began, StatusCode::BAD_GATEWAY);
    let times = took(11);
    let ended = CallFigures { done: 1, failed: 1, busy_ms: 500, longest_ms: 2500, times, ..CallFigures::default() };
    assert_eq!(calls.take(), Some(ended));
    assert_eq!(calls.take(), None);
    let brief = calls.begin();
    calls.end(brief, StatusCode::OK);
    assert_eq!(calls.take(), Some(CallFigures { arrived: 1, done: 1, times: took(0), ..CallFigures::default() }));
    assert_eq!(calls.take(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_replica_does_not_run_and_one_that_has_not_begun_waits_too() {
    let calls = Calls::new();
    let began = calls.begin();
    let paused = calls.usage.paused();
    let waiting = WaitingCall::begin(&calls.usage);
    advance(Duration::from_secs(1)).await;
    assert_eq!(calls.take(), Some(CallFigures { arrived: 1, held: 2, ..CallFigures::default() }));
    assert_eq!(calls.usage.under_way(), 1, "the other one has not begun");
    drop((paused, waiting));
    advance(Duration::from_secs(1)).await;
    calls.end(began, StatusCode::OK);
    let CallFigures { busy_ms, held, in_flight, .. } = calls.take().unwrap();
    assert_eq!((busy_ms, held, in_flight), (1000, 0, 0));
    assert_eq!(calls.take(), None);
    calls.usage.touch();
    assert_eq!(calls.take(), Some(CallFigures::default()), "a call is about to come");
}
