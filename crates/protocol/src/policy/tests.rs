use proptest::prelude::*;

use super::*;
use crate::{
    CANARY, PAGES, QUEUE_MAX_AGE, QUEUE_MAX_DEPTH, RETRY_ATTEMPTS, RETRY_BACKOFF, RETRY_CODES, RETRY_MAX_AGE,
    RETRY_MAX_WAIT, RETRY_MIN_WAIT, SCALE_FACTOR, SCALE_MAX, SCALE_MIN, SCALE_ZERO, SCALE_ZERO_DURATION,
};

/// Every setting that is read, with a value that is not valid.
const INVALID: [(Setting, &str); 24] = [
    (Setting::Annotation(TIMEOUT), "0"),
    (Setting::Annotation(AUTH), "yes"),
    (Setting::Annotation(RESULT_TTL), "299s"),
    (Setting::Annotation(SANDBOX), "maybe"),
    (Setting::Annotation(PAGES), "open"),
    (Setting::Annotation(UPDATE_TIMEOUT), "0"),
    (Setting::Annotation(TRACE), "1%"),
    (Setting::Annotation(TRACE_EXPORT), "some"),
    (Setting::Annotation(UPDATE_FIRST_CALLS), "0"),
    (Setting::Annotation(CANARY), "100%"),
    (Setting::Annotation(QUEUE_MAX_DEPTH), "0"),
    (Setting::Annotation(QUEUE_MAX_AGE), "0s"),
    (Setting::Annotation(RETRY_ATTEMPTS), "1001"),
    (Setting::Annotation(RETRY_CODES), "5xx"),
    (Setting::Annotation(RETRY_MIN_WAIT), "0"),
    (Setting::Annotation(RETRY_MAX_WAIT), "long"),
    (Setting::Annotation(RETRY_BACKOFF), "linear"),
    (Setting::Annotation(RETRY_MAX_AGE), "-1"),
    (Setting::Label(SCALE_MIN), "-1"),
    (Setting::Label(SCALE_MAX), "0"),
    (Setting::Label(SCALE_FACTOR), "101"),
    (Setting::Label(SCALE_ZERO), "perhaps"),
    (EXEC_TIMEOUT, "soon"),
    (MAX_INFLIGHT, "few"),
];

fn deployment<'s>(settings: impl IntoIterator<Item = (Setting, &'s str)>) -> FunctionDeployment {
    let mut deployment = FunctionDeployment { service: "f".to_owned(), ..Default::default() };
    for (setting, text) in settings {
        let texts = match setting {
            Setting::Annotation(_) => &mut deployment.annotations,
            Setting::Label(_) => &mut deployment.labels,
            Setting::Variable(_) => &mut deployment.env_vars,
        };
        texts.insert(setting.key().to_owned(), text.to_owned());
    }
    deployment
}

fn parse(settings: &[(Setting, &str)]) -> Result<FunctionPolicy, SettingError> {
    FunctionPolicy::parse(&deployment(settings.iter().copied()), &PolicyDefaults::default())
}

#[test]
fn without_settings_the_defaults_hold() {
    let defaults = PolicyDefaults { timeout: Duration::from_secs(7), pages: Pages::Trusted, ..Default::default() };
    let policy = FunctionPolicy::parse(&deployment([]), &defaults).unwrap();
    let expected = FunctionPolicy {
        timeout: defaults.timeout,
        own_timeout: None,
        max_inflight: None,
        result_ttl: None,
        needs_token: false,
        sandbox: true,
        pages: Pages::Trusted,
        queue: QueueLimits::default(),
        retry: defaults.retry,
        scaling: Scaling::default(),
        update_timeout: Some(Duration::from_secs(300)),
        traced: None,
        exports_spans: false,
        first_calls: Some(10),
        canary: CanarySettings::default(),
        topics: Vec::new(),
    };
    assert_eq!(policy, expected);
}

#[test]
fn each_setting_that_is_not_valid_is_named() {
    for (setting, text) in INVALID {
        let error = parse(&[(setting, text)]).unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.to_string().starts_with(&format!("{setting}: ")), "{error}");
    }
    let soon = (Setting::Label(SCALE_ZERO_DURATION), "1s");
    assert_eq!(parse(&[soon]).unwrap_err().to_string(), "label com.openfaas.scale.zero-duration: must be at least 5s");
}

#[test]
fn one_invalid_setting_of_a_deployed_function_leaves_the_others_as_they_are() {
    let settings = [(Setting::Annotation(AUTH), "yes"), (MAX_INFLIGHT, "few"), (Setting::Annotation(TIMEOUT), "3s")];
    let (policy, errors) = FunctionPolicy::of_deployed(&deployment(settings), &PolicyDefaults::default());
    let named: Vec<_> = errors.iter().map(|error| error.setting.key()).collect();
    assert_eq!(named, ["max_inflight", AUTH]);
    assert!(policy.needs_token, "what cannot be read does not open a function");
    assert_eq!((policy.max_inflight, policy.timeout), (None, Duration::from_secs(3)));
}

#[test]
fn the_annotation_wins_over_the_variable_and_0_is_no_limit() {
    let annotation = (Setting::Annotation(TIMEOUT), "1m");
    assert_eq!(parse(&[annotation, (EXEC_TIMEOUT, "5s")]).unwrap().timeout, Duration::from_secs(60));
    let policy = parse(&[(EXEC_TIMEOUT, "5s"), (MAX_INFLIGHT, "3")]).unwrap();
    assert_eq!((policy.own_timeout, policy.max_inflight), (Some(Duration::from_secs(5)), Some(3)));
    let policy = parse(&[(EXEC_TIMEOUT, "0s"), (MAX_INFLIGHT, "0")]).unwrap();
    assert_eq!((policy.own_timeout, policy.max_inflight), (None, None));
    assert_eq!(policy.timeout, PolicyDefaults::default().timeout);
    assert_eq!(parse(&[(Setting::Annotation(RESULT_TTL), "5m")]).unwrap().result_ttl, Some(MIN_RESULT_TTL));
    assert!(!parse(&[(Setting::Annotation(SANDBOX), "off")]).unwrap().sandbox);
    assert!(parse(&[(Setting::Annotation(AUTH), "required")]).unwrap().needs_token);
    let traced = |text| parse(&[(Setting::Annotation(TRACE), text)]).unwrap().traced;
    assert_eq!((traced("on"), traced("false")), (Some(true), Some(false)));
}

/// What people and programs write, and what nobody should.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<u64>().prop_map(|number| number.to_string()),
        "[0-9]{1,25}(h|m|s|ms|us|µs|ns)?",
        "[0-9.,hms ]{0,12}",
        "(on|off|true|false|required|none|trusted|full|equal|0|1|429,503)",
    ]
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_named_and_can_be_reckoned_with(
        texts in prop::collection::vec((0..INVALID.len() + 1, text()), 0..8),
    ) {
        let setting = |index| INVALID.get(index).map_or(Setting::Label(SCALE_ZERO_DURATION), |(setting, _)| *setting);
        let deployment = deployment(texts.iter().map(|(index, text)| (setting(*index), text.as_str())));
        let defaults = PolicyDefaults::default();
        let (policy, errors) = FunctionPolicy::of_deployed(&deployment, &defaults);
        match FunctionPolicy::parse(&deployment, &defaults) {
            Ok(parsed) => prop_assert_eq!((parsed, 0), (policy.clone(), errors.len())),
            Err(error) => {
                prop_assert!(error.setting.of(&deployment).is_some(), "{} is not set", error);
                prop_assert_eq!(Some(&error), errors.first());
            }
        }
        // What is done with durations: they are added to a time, doubled, and multiplied.
        let durations = [Some(policy.timeout), policy.result_ttl, policy.retry.max_age, policy.scaling.zero_after];
        for duration in durations.into_iter().flatten() {
            prop_assert!(time::OffsetDateTime::UNIX_EPOCH.checked_add(duration.try_into().unwrap()).is_some());
            prop_assert!(std::time::Instant::now().checked_add(duration).is_some());
        }
        for attempt in [1, 2, 40, u64::MAX] {
            prop_assert!(policy.retry.wait(attempt, 1.0) <= policy.retry.max_wait + Duration::from_millis(1));
        }
        prop_assert!(policy.scaling.min <= policy.scaling.max);
    }
}
