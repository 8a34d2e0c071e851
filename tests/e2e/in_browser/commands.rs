//! The commands that pages show, as somebody pastes them into a shell.

use std::{fs, path::Path};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Browser, Function, Platform, Program, Ran, SKEP, Site, variable, wait_until};

use super::pages::{open, with_everything};

/// The commands below the page, or in the window that is open over it.
const SHOWN: &str = "return [...(document.querySelector('dialog[open]') ?? document).querySelectorAll('.same-as code')].map((one) => one.textContent)";

async fn shown(browser: &Browser) -> Vec<String> {
    browser.run(SHOWN).await.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Runs a line in a shell that has skep and curl. What follows a log is ended, and curl fails if the gateway refuses.
async fn paste(site: &Site, line: &str) -> Ran {
    fs::write(site.path(".curlrc"), "silent\nshow-error\nfail-with-body\n").unwrap();
    let ends = if line.contains("--follow") || line.contains("follow=true") { "timeout -k 60 2 " } else { "" };
    let mut command = site.command(Path::new("sh"));
    command.arg("-c").arg(format!("{ends}sh -c \"$LINE\"")).env("LINE", line);
    let path = format!("{}:{}", SKEP.parent().unwrap().display(), variable("PATH").unwrap().display());
    command.env("PATH", path).env("HOME", site.folder()).env("SKEP_GATEWAY", &site.gateway.url);
    Ran::of(Program::start("sh", command, site.folder())).await
}

async fn assert_works(site: &Site, page: &str, line: &str) {
    let ran = paste(site, line).await;
    // `timeout` ends what follows.
    assert!(matches!(ran.code, Some(0 | 124)), "{page}: {line}: {ran:?}");
}

#[tokio::test]
async fn the_commands_of_each_page_work() {
    let (platform, pages) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    // They are of forms that are empty yet, or do again what cannot be done twice.
    let is_form = |page: &str| ["deploy", "add=", "set=", "/dead/", "nowhere"].iter().any(|part| page.contains(part));
    let mut tried = 0;
    for page in pages.iter().filter(|page| !is_form(page)) {
        open(&browser, page).await;
        let commands = shown(&browser).await;
        assert!(commands.iter().any(|line| line.contains("curl ")), "{page}: {commands:?}");
        for line in commands {
            if !line.contains("NAME") && !line.contains(" < secret.txt") && !line.contains("…") {
                assert_works(&platform.site, page, &line).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "{tried}");
}

/// Where a button is pressed, what is filled in, and what the commands there have done afterwards.
struct Act {
    page: &'static str,
    press: &'static str,
    fill: &'static [(&'static str, &'static str)],
}

const fn act(page: &'static str, press: &'static str, fill: &'static [(&'static str, &'static str)]) -> Act {
    Act { page, press, fill }
}

/// The commands of a window, or of a form: the skep command if there is one, and the curl command.
async fn commands_of(browser: &Browser, Act { page, press, fill }: &Act) -> Vec<String> {
    open(browser, &format!("/ui/{page}")).await;
    if !press.is_empty() {
        browser.press(press).await;
    }
    // The commands of a window are those that count, once it is open.
    if !["", "Edit and redrive"].contains(press) {
        browser.wait_for("a window", "return !!document.querySelector('dialog[open]')").await;
    }
    for (label, text) in *fill {
        browser.fill(label, text).await;
    }
    shown(browser).await
}

/// Two of everything: one for each kind of command.
async fn with_twins() -> Platform {
    let functions = [
        Function::cat(),
        Function::gated(),
        Function::failing(),
        Function::new("one", "cat"),
        Function::new("two", "cat"),
    ];
    let platform = Platform::start_with(&["--attempts", "1"], functions).await;
    let gateway = &platform.gateway;
    for id in ["dead-1", "dead-2", "dead-3", "dead-4"] {
        gateway.queue_as(id, "failing", "x").await;
        gateway.state(id, "dead").await;
    }
    for id in ["open-1", "open-2"] {
        gateway.queue_as(id, "gated", "x").await;
    }
    for name in ["key-1", "key-2"] {
        let secret = json!({ "name": name, "value": "s3cret" });
        assert_eq!(gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    }
    platform
}

async fn status(platform: &Platform, path: &str) -> Value {
    let answer = crate::harness::answer_to(platform.gateway.get(path)).await;
    if answer.status == 200 { answer.json() } else { json!(answer.status) }
}

/// Of each pair the first one is for the skep command, and the second one for curl.
fn pairs() -> [[Act; 2]; 10] {
    [
        [
            act(
                "deploy",
                "",
                &[("Name", "new-1"), ("Command", "sh -c 'tr a-z A-Z'"), ("Variables", "A=it's\nB=\"two\"")],
            ),
            act("deploy", "", &[("Name", "new-2"), ("Command", "sh -c 'tr a-z A-Z'"), ("Note", "as it is")]),
        ],
        [
            act("functions/one/config", "", &[("Command", "tr a-z A-Z")]),
            act("functions/two/config", "", &[("Command", "tr a-z A-Z")]),
        ],
        [
            act("functions/one/scaling", "", &[("Scale to", "2")]),
            act("functions/two/scaling", "", &[("Scale to", "2")]),
        ],
        [act("calls/open-1", "Cancel…", &[]), act("calls/open-2", "Cancel…", &[])],
        [
            act("dead/dead-1", "Edit and redrive", &[("Body", "it's \"new\"")]),
            act("dead/dead-2", "Edit and redrive", &[("Body", "it's \"new\"")]),
        ],
        [act("dead/dead-3", "Remove…", &[]), act("dead/dead-4", "Remove…", &[])],
        [act("secrets?set=key-1", "", &[]), act("secrets?set=key-2", "", &[("Value", "n3w")])],
        [
            act("namespaces?add=namespace", "", &[("Name", "dev-1")]),
            act("namespaces?add=namespace", "", &[("Name", "dev-2")]),
        ],
        [act("functions/one/versions", "Roll back to it", &[]), act("functions/two/versions", "Roll back to it", &[])],
        [act("functions/one", "Delete…", &[]), act("functions/two", "Delete…", &[])],
    ]
}

#[tokio::test]
async fn an_act_and_its_two_commands_do_the_same() {
    let platform = with_twins().await;
    let (site, browser) = (&platform.site, Browser::start(&platform.site).await);
    fs::write(site.path("value.txt"), "n3w").unwrap();
    for pair in pairs() {
        for (kind, act) in ["skep", "curl"].into_iter().zip(pair) {
            let commands = commands_of(&browser, &act).await;
            // The last one of a kind is of the act; the page's own come first.
            let line = commands
                .iter()
                .rev()
                .find(|line| line.contains(&format!("{kind} ")))
                .unwrap_or_else(|| panic!("{}: {commands:?}", act.page));
            assert_works(site, act.page, line).await;
        }
    }
    for name in ["new-1", "new-2"] {
        assert_eq!(platform.gateway.call(name, "x").await.text(), "X", "{name}");
    }
    for id in ["open-1", "open-2"] {
        platform.gateway.state(id, "cancelled").await;
    }
    for id in ["dead-3", "dead-4"] {
        assert_eq!(status(&platform, &format!("/system/dead/{id}")).await, json!(404));
    }
    for name in ["one", "two"] {
        wait_until("it is deleted", async || platform.gateway.function(name).await.is_none()).await;
    }
    let namespaces = status(&platform, "/system/namespaces").await.to_string();
    assert!(namespaces.contains("dev-1") && namespaces.contains("dev-2"), "{namespaces}");
}

#[tokio::test]
async fn where_there_is_a_password_curl_asks_for_it() {
    let mut site = Site::new([Function::cat()]);
    let _up = site.up_with_password(&[]).await;
    let browser = Browser::start(&site).await;
    browser.log_in("admin", &site.password()).await;
    open(&browser, "/ui/secrets").await;
    browser
        .wait_for("its command", "return document.querySelector('.same-as').innerText.includes('curl -u admin')")
        .await;
    let commands = shown(&browser).await;
    assert_eq!(commands, ["skep secret list".to_owned(), format!("curl -u admin {}/system/secrets", browser.origin)]);
    // As somebody who types the password.
    let line = commands[1].replace("-u admin", &format!("-u admin:{}", site.password()));
    assert_eq!(paste(&site, &line).await.said(), "[]");
}
