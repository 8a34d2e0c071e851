use prometheus::{Gauge, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

use super::*;
use crate::{TracedHistograms, plain};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn histograms(registry: &Registry) -> TracedHistograms {
    let options = HistogramOpts::new("call_seconds", "Seconds of \"calls\".").buckets(vec![0.01, 1.0, 10.0]);
    let histograms = TracedHistograms::new(options, &["name", "code"]).unwrap();
    registry.register(Box::new(histograms.clone())).unwrap();
    histograms
}

/// Without the time of an exemplar, after it was checked.
fn timeless(page: &str) -> String {
    let line = |line: &str| match line.split_once(" # ") {
        Some((sample, exemplar)) => {
            let (exemplar, at) = exemplar.rsplit_once(' ').unwrap();
            let at: f64 = at.parse().unwrap();
            assert!(at > 1_700_000_000.0, "{at}");
            format!("{sample} # {exemplar}\n")
        }
        None => format!("{line}\n"),
    };
    page.lines().map(line).collect()
}

#[test]
fn a_histogram_shows_the_latest_sampled_trace_of_each_bucket() {
    let registry = Registry::new();
    let histograms = histograms(&registry);
    let fast = histograms.with_label_values(&["a\"b", "200"]);
    fast.observe(0.5, Some("0bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()));
    fast.observe(1.0, Some(TRACE.parse().unwrap()));
    fast.observe(0.75, None);
    histograms.with_label_values(&["a\"b", "200"]).observe(20.0, Some(TRACE.parse().unwrap()));
    let expected = format!(
        "# TYPE call_seconds histogram\n\
         # UNIT call_seconds seconds\n\
         # HELP call_seconds Seconds of \\\"calls\\\".\n\
         call_seconds_bucket{{code=\"200\",name=\"a\\\"b\",le=\"0.01\"}} 0\n\
         call_seconds_bucket{{code=\"200\",name=\"a\\\"b\",le=\"1.0\"}} 3 # {{trace_id=\"{TRACE}\"}} 1\n\
         call_seconds_bucket{{code=\"200\",name=\"a\\\"b\",le=\"10.0\"}} 3\n\
         call_seconds_bucket{{code=\"200\",name=\"a\\\"b\",le=\"+Inf\"}} 4 # {{trace_id=\"{TRACE}\"}} 20\n\
         call_seconds_count{{code=\"200\",name=\"a\\\"b\"}} 4\n\
         call_seconds_sum{{code=\"200\",name=\"a\\\"b\"}} 22.25\n\
         # EOF\n"
    );
    assert_eq!(timeless(&openmetrics(&registry)), expected);
    assert!(fast.sum() > 22.0);
    histograms.remove_label_values(&["a\"b", "200"]).unwrap();
    assert_eq!(openmetrics(&registry), "# EOF\n");
    histograms.with_label_values(&["a\"b", "200"]).observe(0.5, None);
    assert!(!openmetrics(&registry).contains(TRACE), "it is another one");
}

#[test]
fn plain_text_has_no_exemplars() {
    let registry = Registry::new();
    let sampled = histograms(&registry).with_label_values(&["a", "200"]);
    sampled.observe(0.5, None);
    let before = plain(&registry).unwrap();
    sampled.observe(0.5, Some(TRACE.parse().unwrap()));
    let after = plain(&registry).unwrap();
    assert_eq!(before.replace(" 1\n", " 2\n").replace(" 0.5\n", " 1\n"), after);
}

#[test]
fn a_counter_has_its_suffix_or_is_of_an_unknown_type() {
    let registry = Registry::new();
    let labelled = IntCounterVec::new(Opts::new("bees_total", "Bees\\seen,\nby kind."), &["kind"]).unwrap();
    registry.register(Box::new(labelled.clone())).unwrap();
    labelled.with_label_values(&["a\\b\nc"]).inc();
    for counter in ["calls_started", "dead_total"] {
        registry.register(Box::new(IntCounter::new(counter, "x").unwrap())).unwrap();
    }
    registry.register(Box::new(IntGauge::new("dead", "x").unwrap())).unwrap();
    let ahead = Gauge::new("ahead_bytes", "x").unwrap();
    ahead.set(f64::INFINITY);
    registry.register(Box::new(ahead)).unwrap();
    let expected = "# TYPE ahead_bytes gauge\n# UNIT ahead_bytes bytes\n# HELP ahead_bytes x\nahead_bytes +Inf\n\
        # TYPE bees counter\n# HELP bees Bees\\\\seen,\\nby kind.\nbees_total{kind=\"a\\\\b\\nc\"} 1\n\
        # TYPE calls_started unknown\n# HELP calls_started x\ncalls_started 0\n\
        # TYPE dead gauge\n# HELP dead x\ndead 0\n\
        # TYPE dead_total unknown\n# HELP dead_total x\ndead_total 0\n# EOF\n";
    assert_eq!(openmetrics(&registry), expected);
}
