//! `skep new` and `skep build`: a function from a template runs at once.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::harness::{Platform, Site, answer_to};

/// The language, a part of the answer, and the file with the test request.
const TEMPLATES: [(&str, &str, Option<&str>); 6] = [
    ("bash", "hello Ada, from my-bash", Some("request.txt")),
    ("python", r#"{"order": "order-7", "total": 10}"#, Some("request.json")),
    ("python-http", r#"{"hello": "Ada"}"#, Some("request.json")),
    ("rust", "hello Ada, from my-rust", Some("request.txt")),
    ("static", "<h1>hello from my-static</h1>", None),
    ("docker", "hello Ada, from my-docker", Some("request.txt")),
];

#[tokio::test]
async fn each_template_is_built_deployed_and_called() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    for (lang, _, _) in TEMPLATES {
        let said = site.client(&["new", &format!("my-{lang}"), "--lang", lang, "-f", "app/stack.yml"]).await.said();
        assert!(said.contains(&format!("app/stack.yml has the function my-{lang}")), "{said}");
    }
    let built = site.client(&["build", "-f", "app/stack.yml"]).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    assert!(built.stdout.contains("my-rust is built, after "), "{built:?}");
    let deployed = site.client(&["deploy", "-f", "app/stack.yml"]).await.said();
    for (lang, expected, request) in TEMPLATES {
        let name = format!("my-{lang}");
        assert!(deployed.contains(&format!("{name}  1 of 1 ready")), "{deployed}");
        let answer = match request {
            Some(file) => site.client(&["invoke", &name, "--file", &format!("app/{name}/{file}")]).await,
            None => site.client(&["invoke", &name, "--method", "GET"]).await,
        };
        assert!(answer.stdout.contains(expected), "{lang}: {answer:?}");
        answer.code_is(0);
    }
    let style = answer_to(platform.gateway.get("/function/my-static/style.css")).await;
    assert!(style.text().contains("font-family") && style.header("content-type").starts_with("text/css"), "{style:?}");
    let refused = platform.gateway.call("my-python-http", "{}").await;
    assert_eq!(refused.status, 400, "the function's own answer: {refused:?}");
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten() {
    let site = Site::new([]);
    let new = async |arguments: &[&str]| site.client(&[&["new"], arguments].concat()).await;
    let stack =
        "# mine\nversion: 1.0\nfunctions:\n    one: # first\n        fprocess: cat\n\n# of others\nx-other: 1\n";
    fs::write(site.path("mine.yml"), stack).unwrap();
    let said = new(&["two", "--lang", "bash", "-f", "mine.yml"]).await.said();
    assert!(said.starts_with("two/handler.sh\ntwo/request.txt\nmine.yml has the function two\n"), "{said}");
    assert!(
        said.ends_with("skep dev -f mine.yml\nand in another terminal:\n  skep invoke two --file two/request.txt\n")
    );
    let after = fs::read_to_string(site.path("mine.yml")).unwrap();
    let added = "    two:\n        handler: ./two\n        fprocess: ./handler.sh\n";
    assert_eq!(after, stack.replace("cat\n", &format!("cat\n{added}")));
    assert_eq!(fs::metadata(site.path("two/handler.sh")).unwrap().permissions().mode() & 0o777, 0o755);

    fs::create_dir(site.path("three")).unwrap();
    new(&["two", "--lang", "go", "-f", "mine.yml"]).await.failed(2, "already has a function two");
    new(&["three", "--lang", "go", "-f", "mine.yml"]).await.failed(2, "three is already there");
    new(&["Four", "--lang", "go"]).await.failed(2, "NAME");
    new(&["four.dev", "--lang", "go"]).await.failed(2, "NAME");
    new(&["four", "--lang", "cobol"]).await.code_is(2);
    // What cannot be added to is left alone, and so is no folder.
    fs::write(site.path("flow.yml"), "functions: {one: {fprocess: cat}}\n").unwrap();
    new(&["four", "--lang", "bash", "-f", "flow.yml"]).await.failed(2, "fprocess: ./handler.sh");
    assert!(!site.path("four").exists());
    fs::write(site.path("broken.yml"), "functions:\n  one:\n    fproces: cat\n").unwrap();
    new(&["four", "--lang", "bash", "-f", "broken.yml"]).await.failed(2, "broken.yml:3");
    assert_eq!(fs::read_to_string(site.path("mine.yml")).unwrap(), after);
}

#[tokio::test]
async fn a_build_that_fails_says_which_and_the_others_are_built() {
    let site = Site::new([]);
    let function = |name: &str, build: &str| format!("  {name}:\n    fprocess: cat\n    build: {build}\n");
    let stack = ["one", "two", "three"].map(|name| {
        let build =
            if name == "two" { "sh -c 'echo no compiler >&2; exit 3'".to_owned() } else { format!("touch {name}") };
        function(name, &build)
    });
    fs::write(site.path("app.yml"), format!("functions:\n{}  plain:\n    fprocess: cat\n", stack.concat())).unwrap();
    let failed = site.client(&["build", "-f", "app.yml"]).await;
    failed.code_is(1);
    assert!(
        failed.stderr.contains("no compiler") && failed.stderr.contains("function two cannot be built"),
        "{failed:?}"
    );
    assert!(site.path("one").exists() && site.path("three").exists());
    fs::remove_file(site.path("three")).unwrap();
    site.client(&["build", "-f", "app.yml", "one"]).await.said();
    assert!(!site.path("three").exists());
    site.client(&["build", "-f", "app.yml", "plain"]).await.failed(3, "plain");
}
