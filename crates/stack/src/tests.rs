//! Stack files as people write them, and the words for what is wrong with them.

use std::{fs, path::Path};

use skep_protocol::{DefaultNamespace, FunctionDeployment, WORKDIR};
use skep_sources::Defaults;
use tempfile::TempDir;

use super::{Build, SOURCE_STACK, STACK, SecretValue, Stack, parse};

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("resize")).unwrap();
    fs::write(folder.path().join("one.yml"), "environment:\n  A: one\n  B: 1\n").unwrap();
    fs::write(folder.path().join("two.yml"), "environment: {B: true}\n").unwrap();
    fs::write(folder.path().join("broken.yml"), "\nenvironment: [\n").unwrap();
    folder
}

fn parse_in(folder: &Path, text: &str) -> Result<Stack, String> {
    let lookup = |name: &str| (name == "TAG").then(|| "1.2".to_owned());
    parse(text, &folder.join("stack.yml"), &Defaults::new(&DefaultNamespace::default()), lookup).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        text.replace(&format!("{}/", folder.display()), "")
    })
}

fn only(text: &str) -> FunctionDeployment {
    let folder = folder();
    let mut stack = parse_in(folder.path(), &format!("functions:\n{text}")).unwrap();
    assert_eq!(stack.functions.len(), 1);
    stack.functions.remove(0)
}

fn reason(text: &str) -> String {
    parse_in(folder().path(), text).unwrap_err()
}

#[test]
fn every_key_of_a_function_is_read() {
    let folder = folder();
    let text = r#"
version: 1.0
x-common: &common
  labels: {com.openfaas.scale.min: 2}
provider: {name: openfaas, gateway: http://127.0.0.1:8080}
functions:
  resize:
    lang: python3
    handler: ./resize
    image: ghcr.io/me/resize:${TAG}
    fprocess: python3 -c 'print("hello")'
    skip_build: true
    build_args: {A: b}
    platforms: linux/amd64
    environment: {A: zero, PORT: 0123, DEBUG: yes, RATE: 1.50, NOTHING: , HOST: "${HOST:-local}"}
    environment_file: [one.yml, two.yml]
    <<: *common
    annotations: {topic: 7}
    constraints: [node.role == worker]
    secrets: [key]
    limits: {memory: 5Mi, cpu: 100m}
    requests: {memory: 1Mi}
    readonly_root_filesystem: true
    x-mine: {anything: [1]}
  other:
    image: other
    handler: ./not-there
configuration: {templates: []}
"#;
    let stack = parse_in(folder.path(), text).unwrap();
    let resize = &stack.functions[0];
    let expected = serde_json::json!({
        "service": "resize",
        "image": "ghcr.io/me/resize:1.2",
        "envProcess": "python3 -c 'print(\"hello\")'",
        "envVars": {
            "A": "one", "B": "true", "PORT": "0123", "DEBUG": "yes", "RATE": "1.50", "NOTHING": "", "HOST": "local",
        },
        "constraints": ["node.role == worker"],
        "secrets": ["key"],
        "labels": {"com.openfaas.scale.min": "2"},
        "annotations": {"topic": "7", WORKDIR: folder.path().canonicalize().unwrap().join("resize")},
        "limits": {"memory": "5Mi", "cpu": "100m"},
        "requests": {"memory": "1Mi"},
        "readOnlyRootFilesystem": true,
    });
    assert_eq!(serde_json::to_value(resize).unwrap(), expected);
    assert_eq!(stack.functions[1].service, "other");
    assert!(stack.functions[1].annotations.is_empty());
}

#[test]
fn null_is_as_good_as_nothing() {
    let function =
        only("  f:\n    fprocess: cat\n    image:\n    environment:\n    labels: ~\n    secrets:\n    limits:\n");
    assert!(function.env_vars.is_empty() && function.labels.is_empty() && function.limits.is_none());
    assert!(parse_in(folder().path(), "functions:\n").unwrap().functions.is_empty());
}

#[test]
fn the_samples_of_this_repository_are_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stack.yml");
    let stack =
        parse(&fs::read_to_string(&file).unwrap(), &file, &Defaults::new(&DefaultNamespace::default()), |_| None)
            .unwrap();
    assert!(stack.functions.len() > 5);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, expected) in [
        ("functions:\n  f:\n    fproces: cat\n", "stack.yml:3: unknown key \"fproces\" of a function"),
        ("function:\n  f: {}\n", "stack.yml:1: unknown key \"function\" of a stack file"),
        ("functions:\n  f:\n    handler: ./resize\n", "stack.yml:2: function f has neither fprocess nor image"),
        ("functions:\n\n  F_f:\n    fprocess: cat\n", "stack.yml:3: function name \"F_f\" is not valid"),
        ("functions:\n  f:\n    fprocess: cat\n    handler: ./no\n", "stack.yml:2: folder \"./no\" of function f"),
        ("provider:\n  name: azure\n", "stack.yml:2: provider.name is \"azure\", expected openfaas"),
        ("functions:\n  f:\n    secrets: key\n", "stack.yml:3: "),
        ("functions:\n  f:\n    image: a\n  f:\n    image: b\n", "stack.yml:4: "),
        ("functions: [\n", "stack.yml:1: "),
        ("functions:\n  f:\n    image: ${A:?b}\n", "stack.yml:3: ${A:?b} is not ${VAR}"),
        ("functions:\n  f: {fprocess: cat, labels: {com.openfaas.scale.min: two}}\n", "stack.yml:2: function f: label"),
        ("functions:\n  f: {fprocess: cat, environment_file: [no.yml]}\n", "stack.yml:2: no.yml: cannot be read"),
        ("functions:\n  f: {fprocess: cat, environment_file: [broken.yml]}\n", "broken.yml:2: expected mapping start"),
        ("- a\n", "stack.yml:1: "),
    ] {
        let found = reason(text);
        assert!(found.starts_with(expected), "{text:?}: {found:?} does not start with {expected:?}");
    }
}

#[test]
fn sources_are_read_as_they_are_given() {
    let text = r#"
x-rate: &rate {rate: 50/s}
sources:
  github:
    preset: github
    secrets: [github-webhook]
    keep: 14d
    <<: *rate
    routes:
      - to: deploy
        filter: { type: push, body.ref: refs/heads/main, body.size: 5, body.at: null }
        debounce: { key: body.repository.full_name, wait: 10s }
      - to: summary.staging
functions:
  deploy: {image: deploy}
"#;
    let stack = parse_in(folder().path(), text).unwrap();
    let expected = serde_json::json!({
        "preset": "github",
        "secrets": ["github-webhook"],
        "keep": "14d",
        "rate": "50/s",
        "routes": [
            {
                "to": "deploy",
                "filter": {"type": "push", "body.ref": "refs/heads/main", "body.size": 5, "body.at": null},
                "debounce": {"key": "body.repository.full_name", "wait": "10s"},
            },
            {"to": "summary.staging"},
        ],
    });
    assert_eq!(stack.sources, [("github".parse().unwrap(), expected)]);
    assert_eq!(stack.functions.len(), 1);
    assert!(parse_in(folder().path(), "sources:\n").unwrap().sources.is_empty());
}

#[test]
fn what_is_wrong_with_a_source_is_told_with_its_line() {
    let with = |lines: &str| format!("sources:\n  github:\n    preset: github\n{lines}");
    for (text, expected) in [
        (
            with("    routes:\n      - to: a\n        filter:\n          body.ref: { startsWith: a }\n"),
            "stack.yml:7: source github: routes[0].filter.body.ref.startsWith: unknown operator \"startsWith\" (prefix, suffix, contains, matches",
        ),
        (with("    kep: 1d\n"), "stack.yml:4: source github: kep: is unknown; a webhook can have ack"),
        (with("    keep: soon\n"), "stack.yml:4: source github: keep: \"soon\" is not a duration"),
        (with("    keep:\n      1m\n"), "stack.yml:4: source github: keep: must be from 5m to 90d"),
        (
            with("    routes:\n      - to: a\n      - to: A_a\n"),
            "stack.yml:6: source github: routes[1].to: function name \"A_a\"",
        ),
        (
            with("    routes:\n      - to: a\n        serial: true\n"),
            "stack.yml:6: source github: routes[0].serial: serial is not supported yet",
        ),
        (
            "sources:\n  a:\n    preset: nobody\n".to_owned(),
            "stack.yml:3: source a: preset: \"nobody\" is not known (adyen, ",
        ),
        ("sources:\n\n  a: {}\n".to_owned(), "stack.yml:3: source a: verify: the source has neither preset nor verify"),
        ("sources:\n  a:\n".to_owned(), "stack.yml:2: source a: "),
        ("sources:\n  A: {}\n".to_owned(), "stack.yml:2: source name \"A\" is not valid"),
        ("sources: [a]\n".to_owned(), "stack.yml:1: "),
        (
            "sources:\n  a: {preset: sms}\n  a: {}\n".to_owned(),
            "stack.yml:3: duplicate mapping key `a` is not allowed here",
        ),
        ("sources:\n  a: {verify: none, url: .inf}\n".to_owned(), "stack.yml:2: "),
    ] {
        let found = reason(&text);
        assert!(found.starts_with(expected), "{text:?}: {found:?} does not start with {expected:?}");
    }
}

#[test]
fn a_file_that_is_made_to_do_harm_is_refused_in_few_words() {
    let open = |more: &str| format!("sources:\n  a:\n    verify: none\n    routes:\n{more}");
    let routes: String = (0..5000).map(|number| format!("      - {{to: f{number}}}\n")).collect();
    let deep = format!("      - {{to: f, filter: {}{{type: x}}{}}}\n", "{any: [".repeat(1000), "]}".repeat(1000));
    // Each names the one before it ten times.
    let more =
        |(name, before): (char, char)| format!("x-{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(","));
    let bomb: String = ('b'..='i').zip('a'..='h').map(more).collect();
    let bomb = format!("x-a: &a [{}]\n{bomb}", ["x"; 10].join(","));
    for (text, expected) in [
        (open(&routes), "source a: routes: has more than 100 routes"),
        (open(&deep), "recursion limit exceeded"),
        (open("      - {to: f, headers: &x {X-A: *x}}\n"), "Recursive reference not allowed here"),
        (bomb + "sources:\n  a: {verify: none, routes: *i}\n", "YAML document too large or too complex"),
        (open("      - {to: f, filter: {body.a: {matches: '(a{1000}){1000}'}}}\n"), "exceeds size limit"),
        ("sources:\n  a.b: {verify: none}\n".to_owned(), "stack.yml:2: source name \"a.b\" is not valid"),
        ("sources:\n  grün: {verify: none}\n".to_owned(), "stack.yml:2: source name \"grün\" is not valid"),
    ] {
        let found = reason(&text);
        assert!(found.contains(expected) && found.len() < 500, "{found:?} does not have {expected:?}");
    }
}

#[test]
fn a_stack_marks_what_it_names_and_says_what_it_needs() {
    let folder = folder();
    let text = "name: shop\nnamespaces: [dev]\nsecrets:\n  a:\n  b: {file: b.txt}\n  c: {env: C, namespace: dev}\n\
                functions:\n  one:\n    handler: ./resize\n    build: make all\n    fprocess: ./one\n    namespace: dev\n  \
                site:\n    environment: {mode: static}\nsources:\n  s:\n    preset: github\n    routes: [{to: one}]\n";
    let stack = parse_in(folder.path(), text).unwrap();
    assert_eq!((stack.name.as_deref(), stack.namespaces), (Some("shop"), vec!["dev".to_owned()]));
    let root = folder.path().canonicalize().unwrap();
    let values: Vec<_> = stack.secrets.iter().map(|secret| secret.value.clone()).collect();
    assert_eq!(
        values,
        [None, Some(SecretValue::File(root.join("b.txt"))), Some(SecretValue::Variable("C".to_owned()))]
    );
    let build = Build { function: "one.dev".to_owned(), command: "make all".to_owned(), folder: root.join("resize") };
    assert_eq!(stack.builds, [build]);
    assert!(stack.functions.iter().all(|function| function.annotations[STACK] == "shop"));
    assert_eq!(stack.functions[1].annotations[WORKDIR], root.to_str().unwrap());
    assert_eq!(stack.sources[0].1[SOURCE_STACK], "shop");
    // Without a name nothing is marked.
    let stack = parse_in(folder.path(), text.strip_prefix("name: shop\n").unwrap()).unwrap();
    assert!(!stack.functions[0].annotations.contains_key(STACK) && stack.sources[0].1.get(SOURCE_STACK).is_none());
}
