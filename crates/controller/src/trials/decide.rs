//! What becomes of a canary: a pure function of what is known of it.

use std::time::Duration;

use skep_protocol::{CallCounts, CanaryLimits, format_duration};

use super::Counted;

/// A canary is never slow that takes less than this longer: such differences are noise.
const MIN_SLOWNESS: Duration = Duration::from_millis(10);
/// A canary whose replicas end as often after they were ready does not run.
const MAX_LOSSES: u32 = 3;

/// What is known of a canary.
#[derive(Clone, Debug)]
pub(crate) struct CanaryFigures {
    pub(crate) counted: Counted,
    /// Since it began.
    pub(crate) age: Duration,
    /// How long its replicas have not been ready, if they are not.
    pub(crate) unready: Option<Duration>,
    /// Why they will hardly ever be.
    pub(crate) failure: Option<String>,
    /// How often they ended, or were not ready any more, after they had been.
    pub(crate) losses: u32,
    /// Why they are not, as far as it is known.
    pub(crate) problem: Option<String>,
    /// How long they may be not ready.
    pub(crate) start_timeout: Option<Duration>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CanaryDecision {
    Keep,
    Promote,
    /// With the reason in words.
    RollBack(String),
}

/// Decides what becomes of a canary.
///
/// A limit is breached as soon as no number of good calls up to the least number could help, so that a canary that always fails is gone after a few calls.
pub(crate) fn decide(figures: &CanaryFigures, limits: &CanaryLimits) -> CanaryDecision {
    let breach =
        unready(figures).or_else(|| errors(&figures.counted, limits)).or_else(|| slow(&figures.counted, limits));
    if let Some(reason) = breach {
        return CanaryDecision::RollBack(reason);
    }
    let has_proved = figures.counted.new.calls() >= limits.min_calls && figures.unready.is_none();
    let is_over = limits.time.is_some_and(|time| figures.age >= time);
    if has_proved && is_over { CanaryDecision::Promote } else { CanaryDecision::Keep }
}

/// What follows if all stays as it is, in words.
pub(crate) fn outlook(figures: &CanaryFigures, limits: &CanaryLimits) -> String {
    let missing = limits.min_calls.saturating_sub(figures.counted.new.calls());
    let Some(time) = limits.time else { return "it goes on until it is promoted or rolled back by hand".to_owned() };
    let left = time.saturating_sub(figures.age);
    match (missing, left.as_secs()) {
        _ if figures.unready.is_some() => "its replicas are starting".to_owned(),
        (0, 0) => "it is about to be promoted".to_owned(),
        (0, _) => format!("it is promoted after {} s, unless it breaches a limit", left.as_secs()),
        (missing, 0) => format!("it is promoted after {missing} more calls, unless it breaches a limit"),
        (missing, seconds) => {
            format!("it is promoted after {seconds} s and {missing} more calls at least, unless it breaches a limit")
        }
    }
}

fn unready(figures: &CanaryFigures) -> Option<String> {
    if let Some(failure) = &figures.failure {
        return Some(failure.clone());
    }
    let problem = figures.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    if figures.losses >= MAX_LOSSES {
        return Some(format!("its replicas were ready {} times, and then were not any more{problem}", figures.losses));
    }
    let limit = figures.start_timeout?;
    figures.unready.filter(|unready| *unready >= limit)?;
    Some(format!("it was not ready after {}{problem}", format_duration(limit)))
}

fn errors(counted: &Counted, limits: &CanaryLimits) -> Option<String> {
    let Counted { new, old } = counted;
    let allowed = share_failed(old) + f64::from(limits.max_errors) / 100.0;
    let calls = new.calls().max(limits.min_calls);
    // What is exactly allowed is not too much, however it is rounded.
    (new.failed as f64 > allowed * calls as f64 + 1e-6).then(|| {
        format!(
            "{}, and of the version before {}; {} % more are allowed, of {} calls at least",
            failed(new),
            failed(old),
            limits.max_errors,
            limits.min_calls
        )
    })
}

fn slow(counted: &Counted, limits: &CanaryLimits) -> Option<String> {
    let Counted { new, old } = counted;
    let factor = limits.max_latency?;
    let usual = old.latency.quantile(50).filter(|_| old.answered >= limits.min_calls)?;
    let longest = (usual * factor.hundredths / 100).max(usual + MIN_SLOWNESS);
    let slow = new.latency.slower_than(longest);
    (slow > new.answered.max(limits.min_calls) / 2).then(|| {
        let longest = longest.as_secs_f64() * 1000.0;
        format!(
            "{slow} of {} calls took longer than {longest:.0} ms, and half of those of the version before at most {:.0} ms; {factor} times as long is allowed",
            new.answered,
            usual.as_secs_f64() * 1000.0
        )
    })
}

fn share_failed(counts: &CallCounts) -> f64 {
    match counts.calls() {
        0 => 0.0,
        calls => counts.failed as f64 / calls as f64,
    }
}

fn failed(counts: &CallCounts) -> String {
    format!("{} of {} calls failed ({:.1} %)", counts.failed, counts.calls(), share_failed(counts) * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_protocol::{CanarySettings, LatencyCounts};

    use super::*;

    fn limits() -> CanaryLimits {
        CanarySettings::default().limits
    }

    /// Counts of calls that were answered, each after this time, and of calls that failed.
    fn counts(answered: u64, millis: u64, failed: u64) -> CallCounts {
        let mut latency = vec![0; LatencyCounts::BUCKETS];
        latency[LatencyCounts::bucket(Duration::from_millis(millis))] = answered;
        CallCounts { answered, failed, latency: latency.into() }
    }

    fn figures(new: CallCounts, old: CallCounts) -> CanaryFigures {
        CanaryFigures {
            counted: Counted { new, old },
            age: Duration::from_secs(1),
            unready: None,
            failure: None,
            losses: 0,
            problem: None,
            start_timeout: Some(Duration::from_secs(300)),
        }
    }

    fn reason(figures: &CanaryFigures) -> String {
        match decide(figures, &limits()) {
            CanaryDecision::RollBack(reason) => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_canary_that_fails_more_calls_is_rolled_back() {
        let old = counts(900, 20, 0);
        assert_eq!(
            reason(&figures(counts(45, 20, 5), old.clone())),
            "5 of 50 calls failed (10.0 %), and of the version before 0 of 900 calls failed (0.0 %); 5 % more are allowed, of 50 calls at least"
        );
        assert_eq!(reason(&figures(counts(0, 20, 2), old.clone())), "Keep", "two of 50 are allowed");
        assert!(reason(&figures(counts(0, 20, 3), old)).starts_with("3 of 3 calls failed"), "three never are");
        // The version before fails as often.
        assert_eq!(reason(&figures(counts(90, 20, 10), counts(900, 20, 100))), "Keep");
        assert_eq!(reason(&figures(counts(0, 20, 100), counts(0, 20, 900))), "Keep");
    }

    #[test]
    fn a_canary_that_is_slower_is_rolled_back() {
        let slow = reason(&figures(counts(50, 300, 0), counts(500, 100, 0)));
        assert!(
            slow.starts_with("50 of 50 calls took longer than") && slow.ends_with("2 times as long is allowed"),
            "{slow}"
        );
        assert!(reason(&figures(counts(26, 300, 0), counts(500, 100, 0))).starts_with("26 of 26 calls"));
        assert_eq!(reason(&figures(counts(25, 300, 0), counts(500, 100, 0))), "Keep", "the others may be fast");
        assert_eq!(reason(&figures(counts(50, 150, 0), counts(500, 100, 0))), "Keep");
        assert_eq!(reason(&figures(counts(50, 6, 0), counts(500, 1, 0))), "Keep", "a few milliseconds are noise");
        assert_eq!(
            reason(&figures(counts(50, 300, 0), counts(40, 100, 0))),
            "Keep",
            "too little is known of the other"
        );
        let any = CanaryLimits { max_latency: None, ..limits() };
        assert_eq!(decide(&figures(counts(50, 300, 0), counts(500, 100, 0)), &any), CanaryDecision::Keep);
    }

    #[test]
    fn a_canary_that_does_not_start_is_rolled_back() {
        let mut found = figures(counts(0, 1, 0), counts(0, 1, 0));
        found.failure = Some("a replica exited with code 1".to_owned());
        assert_eq!(reason(&found), "a replica exited with code 1");
        found.failure = None;
        found.unready = Some(Duration::from_secs(299));
        found.problem = Some("no such image".to_owned());
        assert_eq!(reason(&found), "Keep");
        found.unready = Some(Duration::from_secs(300));
        assert_eq!(reason(&found), "it was not ready after 300s: no such image");
        found.start_timeout = None;
        assert_eq!(reason(&found), "Keep");
        found.losses = 3;
        assert!(reason(&found).starts_with("its replicas were ready 3 times"), "{found:?}");
    }

    #[test]
    fn a_canary_is_promoted_after_its_time_and_its_calls() {
        let of = |calls, seconds, unready: Option<u64>| {
            let mut found = figures(counts(calls, 20, 0), counts(900, 20, 0));
            found.age = Duration::from_secs(seconds);
            found.unready = unready.map(Duration::from_secs);
            (decide(&found, &limits()), outlook(&found, &limits()))
        };
        assert_eq!(of(50, 600, None), (CanaryDecision::Promote, "it is about to be promoted".to_owned()));
        assert_eq!(of(50, 599, None).0, CanaryDecision::Keep);
        assert_eq!(of(49, 6000, None).0, CanaryDecision::Keep);
        assert_eq!(of(49, 6000, None).1, "it is promoted after 1 more calls, unless it breaches a limit");
        assert_eq!(of(50, 600, Some(1)), (CanaryDecision::Keep, "its replicas are starting".to_owned()));
        let by_hand = CanaryLimits { time: None, ..limits() };
        let mut old = figures(counts(500, 20, 0), counts(900, 20, 0));
        old.age = Duration::from_secs(1_000_000);
        assert_eq!(decide(&old, &by_hand), CanaryDecision::Keep);
    }

    prop_compose! {
        fn any_counts()(answered in 0..2000_u64, millis in 0..5000_u64, failed in 0..500_u64) -> CallCounts {
            counts(answered, millis, failed)
        }
    }

    prop_compose! {
        fn any_limits()(
            min_calls in 1..500_u64,
            max_errors in 0..=100_u8,
            factor in proptest::option::of(100..1000_u32),
            time in proptest::option::of(1..10_000_u64),
        ) -> CanaryLimits {
            CanaryLimits {
                min_calls,
                max_errors,
                max_latency: factor.map(|hundredths| skep_protocol::Factor { hundredths }),
                time: time.map(Duration::from_secs),
            }
        }
    }

    proptest! {
        #[test]
        fn more_failures_never_save_a_canary(new in any_counts(), old in any_counts(), more in 1..100_u64, limits in any_limits()) {
            let before = decide(&figures(new.clone(), old.clone()), &limits);
            let worse = decide(&figures(CallCounts { failed: new.failed + more, ..new }, old), &limits);
            prop_assert!(!matches!(before, CanaryDecision::RollBack(_)) || matches!(worse, CanaryDecision::RollBack(_)));
        }

        #[test]
        fn a_canary_like_the_version_before_is_never_rolled_back(same in any_counts(), limits in any_limits()) {
            let decided = decide(&figures(same.clone(), same), &limits);
            prop_assert!(!matches!(decided, CanaryDecision::RollBack(_)), "{:?}", decided);
        }

        #[test]
        fn nothing_is_promoted_before_its_time_or_with_too_few_calls(
            new in any_counts(), old in any_counts(), age in 0..20_000_u64, limits in any_limits(),
        ) {
            let figures = CanaryFigures { age: Duration::from_secs(age), ..figures(new, old) };
            if decide(&figures, &limits) == CanaryDecision::Promote {
                prop_assert!(limits.time.is_some_and(|time| figures.age >= time));
                prop_assert!(figures.counted.new.calls() >= limits.min_calls);
            }
        }

        #[test]
        fn a_breach_stays_one_when_good_calls_fill_up_to_the_least_number(
            failed in 0..50_u64, old in any_counts(), limits in any_limits(),
        ) {
            let few = figures(counts(0, 1, failed), old.clone());
            if let CanaryDecision::RollBack(_) = decide(&few, &limits) {
                let filled = figures(counts(limits.min_calls.saturating_sub(failed), 1, failed), old);
                prop_assert!(matches!(decide(&filled, &limits), CanaryDecision::RollBack(_)));
            }
        }
    }
}
