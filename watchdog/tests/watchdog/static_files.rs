//! Static mode with a directory of a few files.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
};

use tempfile::TempDir;

use crate::{
    client::{Answer, open, send},
    support::{Watchdog, wait_until},
};

/// The directory has a neighbour that nobody may read.
fn start(settings: &[(&str, &str)]) -> (Watchdog, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let public = directory.path().join("public");
    fs::create_dir_all(public.join("docs")).unwrap();
    fs::create_dir(public.join("empty")).unwrap();
    fs::write(directory.path().join("secret"), "secret").unwrap();
    fs::write(public.join("index.html"), "<h1>home</h1>").unwrap();
    fs::write(public.join("docs/index.html"), "<h1>docs</h1>").unwrap();
    fs::write(public.join("a b.txt"), "0123456789").unwrap();
    let path = public.to_str().unwrap();
    (Watchdog::start(&[&[("mode", "static"), ("static_path", path)], settings].concat()), directory)
}

fn get(watchdog: &Watchdog, path: &str, header: (&str, &str)) -> Answer {
    send(watchdog.address, "GET", path, &[header], b"")
}

#[test]
fn files_are_served_with_their_type() {
    let (watchdog, _directory) = start(&[]);
    for (path, content_type, body) in [
        ("/", "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/docs/", "text/html; charset=utf-8", "<h1>docs</h1>"),
        ("/a%20b.txt?x=1", "text/plain; charset=utf-8", "0123456789"),
    ] {
        let answer = watchdog.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
        assert_eq!(answer.headers["content-type"], content_type, "{path}");
        let head = send(watchdog.address, "HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.headers["content-length"], body.len().to_string());
    }
}

#[test]
fn a_directory_without_its_slash_leads_to_the_one_with_it_whatever_goes_before_the_path() {
    let (watchdog, _directory) = start(&[]);
    for (path, location) in [("/docs", "./docs/"), ("/docs?x=1", "./docs/?x=1"), ("//docs", "./docs/")] {
        let answer = watchdog.get(path);
        assert_eq!((answer.status, answer.headers["location"].as_str()), (307, location));
    }
}

#[test]
fn parts_of_files_and_conditions_are_understood() {
    let (watchdog, _directory) = start(&[]);
    let part = get(&watchdog, "/a%20b.txt", ("Range", "bytes=2-4"));
    assert_eq!(
        (part.status, part.text().as_str(), part.headers["content-range"].as_str()),
        (206, "234", "bytes 2-4/10")
    );
    assert_eq!(get(&watchdog, "/a%20b.txt", ("Range", "bytes=10-")).status, 416);
    let whole = watchdog.get("/a%20b.txt");
    for (header, fact) in [("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")] {
        let answer = get(&watchdog, "/a%20b.txt", (header, &whole.headers[fact]));
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{header}");
    }
    assert_eq!(get(&watchdog, "/a%20b.txt", ("If-None-Match", "\"other\"")).status, 200);
}

#[test]
fn what_is_not_a_file_of_the_directory_is_404() {
    let (watchdog, _directory) = start(&[]);
    let long = format!("/{}", "x".repeat(300));
    for path in [
        "/missing",
        "/empty/",
        "/a%20b.txt/",
        "/a%20b.txt/x",
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/docs/..%2f../..%2fsecret",
        "//etc/passwd",
        "/%2Fetc/passwd",
        "/a%00b",
        "/%ff",
        &long,
    ] {
        let answer = watchdog.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (404, "file not found\n"), "{path}");
    }
}

#[test]
fn hidden_files_and_links_that_lead_out_are_served_only_if_a_setting_says_so() {
    let paths = ["/.env", "/%2eenv", "/docs/.git/config", "/out", "/linked/secret", "/linked/"];
    for (guard, status) in [("true", 404), ("false", 200)] {
        let (watchdog, directory) = start(&[("static_guard", guard)]);
        let public = directory.path().join("public");
        fs::create_dir_all(public.join("docs/.git")).unwrap();
        fs::create_dir_all(public.join(".well-known")).unwrap();
        for file in [".env", "docs/.git/config", ".well-known/security.txt"] {
            fs::write(public.join(file), "found").unwrap();
        }
        fs::write(directory.path().join("index.html"), "outside").unwrap();
        symlink(directory.path().join("secret"), public.join("out")).unwrap();
        symlink(directory.path(), public.join("linked")).unwrap();
        symlink(public.join("a b.txt"), public.join("inner")).unwrap();
        for path in paths {
            assert_eq!(watchdog.get(path).status, status, "{path} with static_guard={guard}");
        }
        for path in ["/inner", "/.well-known/security.txt"] {
            assert_eq!(watchdog.get(path).status, 200, "{path}");
        }
    }
}

#[test]
fn other_verbs_are_405() {
    let (watchdog, _directory) = start(&[]);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = send(watchdog.address, method, "/", &[], b"body");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!([&answer.headers["x-skep-error"], &answer.headers["allow"]], ["method_not_allowed", "GET, HEAD"]);
    }
}

#[test]
fn health_call_ids_and_the_limit_are_those_of_the_other_modes() {
    let (mut watchdog, directory) = start(&[("max_inflight", "1")]);
    assert_eq!((watchdog.get("/_/health").status, watchdog.get("/_/ready").status), (200, 200));
    assert_eq!(get(&watchdog, "/", ("X-Call-Id", "7")).headers["x-call-id"], "7");
    // More than the buffers of a connection that nobody reads hold.
    File::create(directory.path().join("public/large")).unwrap().set_len(256 << 20).unwrap();
    let unread = open(watchdog.address, "GET", "/large", &[], None);
    wait_until("it is sent", || watchdog.get("/_/ready").status == 429);
    assert_eq!(watchdog.get("/").status, 429);
    drop(unread);
    wait_until("there is room again", || watchdog.get("/").status == 200);
    watchdog.signal("TERM");
    assert!(watchdog.wait_for_exit().success());
}
