//! How the web UI's files are served, and to whom.

use http::Method;
use serde_json::json;

use crate::harness::{Answer, Function, Platform, Site, answer_to, free_address};

async fn visit(platform: &Platform, path: &str) -> Answer {
    let visit = [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let request = platform.gateway.get(path);
    answer_to(visit.into_iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

fn assert_strict(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for directive in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
        assert!(policy.contains(directive), "{answer:?}");
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{answer:?}");
    }
}

/// Where the shell says that the other files are.
fn script_of(shell: &Answer) -> String {
    let text = shell.text();
    let (_, rest) = text.split_once("type=\"module\" src=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_web_ui_is_served_for_each_of_its_pages_and_kept_by_browsers() {
    let platform = Platform::start([]).await;
    let shell = visit(&platform, "/ui/").await;
    assert_eq!((shell.status, shell.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(shell.header("cache-control"), "no-cache");
    let tag = shell.header("etag").to_owned();
    assert_strict(&shell);
    let page = visit(&platform, "/ui/functions/upper.dev?tab=calls").await;
    assert_eq!((page.status, page.text()), (200, shell.text()));
    let again = answer_to(platform.gateway.get("/ui/calls").header("If-None-Match", tag)).await;
    assert_eq!((again.status, again.body.len()), (304, 0));

    let script = script_of(&shell);
    let plain = answer_to(platform.gateway.get(&script)).await;
    let packed = answer_to(platform.gateway.get(&script).header("Accept-Encoding", "gzip, br")).await;
    assert!(plain.header("content-type").starts_with("text/javascript"), "{plain:?}");
    assert_eq!(plain.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert_eq!(packed.header("vary"), "accept-encoding");
    assert_strict(&packed);
    assert_eq!(answer_to(platform.gateway.get("/ui/favicon.svg")).await.header("content-type"), "image/svg+xml");
    for missing in ["/ui/robots.txt", "/ui/assets/0000000000000000/app.js"] {
        let answer = visit(&platform, missing).await;
        assert_eq!(answer.status, 404, "{missing}");
        assert_strict(&answer);
    }
    let changed = answer_to(platform.gateway.post("/ui/")).await;
    changed.assert_refused(405);
    assert_strict(&changed);
}

#[tokio::test]
async fn a_browser_that_comes_to_the_gateway_is_sent_to_the_web_ui_and_a_program_is_not() {
    let platform = Platform::start([]).await;
    for path in ["/", "/ui"] {
        let sent = visit(&platform, path).await;
        assert_eq!((sent.status / 100, sent.header("location")), (3, "/ui/"), "{sent:?}");
    }
    assert!(answer_to(platform.gateway.get("/")).await.text().starts_with("skep: functions"));
}

#[tokio::test]
async fn the_web_ui_takes_the_same_login_as_the_api_and_says_who_is_there() {
    let mut site = Site::new([]);
    let up = site.up_with_password(&[]).await;
    let with_password = site.gateway.clone();
    let stranger = crate::harness::Gateway::new(with_password.url.clone());
    for path in ["/ui/", "/ui/calls", "/ui/favicon.svg"] {
        let refused = answer_to(stranger.get(path)).await;
        refused.assert_refused(401);
        assert_strict(&refused);
        assert_eq!(answer_to(with_password.get(path)).await.status, 200, "{path}");
    }
    let info = answer_to(with_password.get("/system/info")).await.json();
    assert_eq!(info["caller"], json!({ "name": "user admin", "role": "admin", "namespaces": [] }));
    assert_eq!(info["ui"], "full");
    drop(up);
}

#[tokio::test]
async fn a_read_only_ui_shows_everything_and_changes_nothing() {
    let platform = Platform::start_with(&["--ui", "read"], [Function::cat()]).await;
    assert_eq!(visit(&platform, "/ui/").await.status, 200);
    let body = json!({ "service": "pwn", "envProcess": "id" });
    for (header, value) in [("Sec-Fetch-Site", "same-origin"), ("Origin", platform.gateway.url.as_str())] {
        let request = platform.gateway.post("/system/functions").header(header, value);
        let refused = answer_to(request.json(&body)).await;
        refused.assert_refused(403);
        assert!(refused.text().contains("--ui read"), "{refused:?}");
        let read = platform.gateway.get("/system/functions").header(header, value);
        assert_eq!(answer_to(read).await.status, 200);
    }
    assert_eq!(answer_to(platform.gateway.get("/system/info")).await.json()["ui"], "read");
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &body).await.status, 202, "programs may");
}

#[tokio::test]
async fn without_a_ui_there_is_none_and_it_goes_with_the_admin_api() {
    let platform = Platform::start_with(&["--ui", "off"], []).await;
    for path in ["/ui", "/ui/", "/ui/calls", "/ui/favicon.svg"] {
        visit(&platform, path).await.assert_refused(404);
    }
    assert_eq!(visit(&platform, "/").await.status, 200, "there is nowhere to send a browser");
    drop(platform);

    let admin_api = free_address().to_string();
    let platform = Platform::start_with(&["--admin-api-listen", &admin_api], []).await;
    visit(&platform, "/ui/").await.assert_refused(404);
    assert_eq!(visit(&platform, "/").await.status, 200);
    let there = crate::harness::Gateway::new(format!("http://{admin_api}"));
    assert_eq!(answer_to(there.get("/ui/")).await.status, 200);
}
