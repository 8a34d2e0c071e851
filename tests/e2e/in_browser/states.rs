//! Whether everybody can use what pages show only at times: windows, errors, empty lists, paper, forced colours.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Browser, Function, Platform, Roles, key, variable};

use super::pages::{open, with_everything};

/// What axe finds on the page as it is, each by its rule and its element.
async fn barriers(browser: &Browser) -> Vec<String> {
    let axe = variable("SKEP_TEST_AXE").expect("SKEP_TEST_AXE names axe-core, see tests/README.md");
    browser.run(&fs::read_to_string(axe).unwrap()).await;
    let run = "return axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, help, nodes }) => \
        `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join('; ')}`))";
    browser.run(run).await.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Looks at a state on a wide light screen and on a narrow dark one.
async fn look(browser: &Browser, state: &str, found: &mut Vec<String>) {
    for (width, scheme) in [(1280, "light"), (320, "dark")] {
        browser.look(width, scheme).await;
        found.extend(barriers(browser).await.into_iter().map(|one| format!("{state} {width} {scheme} {one}")));
        let over = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
        if over.as_i64() > Some(0) {
            found.push(format!("{state} is {over} px wider than a screen of {width} px"));
        }
    }
    browser.look(1280, "light").await;
}

/// A page, what is pressed there one after the other, what is typed, and what is there then.
type State = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

const STATES: [State; 17] = [
    ("functions/cat", &["Delete…"], &[], "Type cat to go on"),
    ("functions/cat", &["Table"], &[], "Time"),
    ("functions/cat/config", &[], &[("Command", "tr a-z A-Z")], "Deploy the change"),
    ("functions/cat/config", &[], &[("Variables", "no pair")], "is no variable"),
    ("functions/cat/invoke", &["Call it"], &[], "after"),
    ("functions/cat/invoke?how=async", &["Queue the call"], &[], "succeeded"),
    ("functions/failing/invoke", &["Call it"], &[], "after"),
    ("deploy", &["Upper case"], &[("Variables", "no pair"), ("Name", "cat")], "NAME=VALUE"),
    ("calls", &["Cancel all that fit…"], &[], "will not run any more"),
    ("dead", &["Redrive all that fit…"], &[], "At most, per second"),
    ("dead", &["Remove all that fit…"], &[], "gone for good"),
    ("sources?add=webhook", &[], &[("Name", "acme")], "The address will be"),
    ("sources/acme", &["Replay…", "Count first"], &[], "would make"),
    ("sources/acme/send", &["Sign and send it"], &[], "The sender would get"),
    ("sources/acme/declaration", &["Change it"], &[], "Keep it as it is"),
    ("schedules/nightly", &["Backfill…"], &[], "at most 1,000"),
    ("calls?function=nobody", &[], &[], "No call is queued or kept"),
];

#[tokio::test]
async fn no_window_and_no_error_has_a_barrier_that_axe_finds() {
    let (platform, _) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    let mut found = Vec::new();
    for (page, pressed, typed, shown) in STATES {
        open(&browser, &format!("/ui/{page}")).await;
        for button in pressed {
            browser.press(button).await;
        }
        for (label, text) in typed {
            browser.fill(label, text).await;
        }
        browser.wait_for_text(shown).await;
        look(&browser, &format!("{page} {pressed:?}"), &mut found).await;
    }
    open(&browser, "/ui/").await;
    browser.keys(&["?"]).await;
    browser.wait_for_text("Keyboard shortcuts").await;
    look(&browser, "the shortcuts", &mut found).await;
    open(&browser, "/ui/").await;
    browser.look(320, "dark").await;
    browser.press("Menu").await;
    browser.wait_for_text("Namespaces").await;
    found.extend(barriers(&browser).await.into_iter().map(|one| format!("the menu {one}")));
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn no_page_without_anything_in_it_has_a_barrier() {
    let platform = Platform::start([]).await;
    let browser = Browser::start(&platform.site).await;
    let mut found = Vec::new();
    let pages = [
        "",
        "functions",
        "functions/gone",
        "calls",
        "calls/gone",
        "dead",
        "dead/gone",
        "sources",
        "sources/gone",
        "schedules",
        "logs",
        "secrets",
        "health/acts",
    ];
    for page in pages {
        open(&browser, &format!("/ui/{page}")).await;
        look(&browser, &format!("the empty {page}"), &mut found).await;
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn what_is_said_while_nats_is_away_has_no_barrier() {
    let mut roles = Roles::start([Function::cat()]).await;
    let browser = Browser::start(&roles.site).await;
    open(&browser, "/ui/functions").await;
    browser.wait_for_text("Live").await;
    roles.nats.kill();
    browser.wait_for_text("no connection to NATS").await;
    let mut found = Vec::new();
    look(&browser, "without NATS", &mut found).await;
    assert!(found.is_empty(), "{found:#?}");
}

/// What somebody who may only look at things sees.
#[tokio::test]
async fn a_ui_that_only_shows_things_has_no_act_and_says_why() {
    let platform = Platform::start_with(&["--ui", "read"], [Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    let mut found = Vec::new();
    for page in ["functions/cat", "functions/cat/invoke", "functions/cat/scaling", "deploy", "secrets", "sources"] {
        open(&browser, &format!("/ui/{page}")).await;
        let acts = "const acts = [...document.querySelectorAll('main button[title*=\"--ui read\"]')]; return acts.length > 0 && acts.every((one) => one.disabled)";
        browser.wait_for(&format!("acts of {page} that are off"), acts).await;
        look(&browser, page, &mut found).await;
    }
    assert!(found.is_empty(), "{found:#?}");
    let refused = "return fetch('/system/functions', { method: 'POST', body: '{\"service\":\"x\",\"envProcess\":\"cat\"}' }).then((answer) => answer.status)";
    assert_eq!(browser.run(refused).await, json!(403));
}

/// Has the browser show the page as some readers have it.
async fn media(browser: &Browser, kind: &str, features: &[(&str, &str)]) {
    let features: Vec<Value> = features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    browser.chromium("Emulation.setEmulatedMedia", json!({ "media": kind, "features": features })).await;
}

#[tokio::test]
async fn pages_print_without_what_only_a_screen_needs() {
    let (platform, pages) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    for page in &pages {
        open(&browser, page).await;
        media(&browser, "print", &[("prefers-color-scheme", "dark")]).await;
        let shown = "return [...document.querySelectorAll('header.side, .tools, .acts, .toasts')].filter((one) => one.checkVisibility()).length";
        assert_eq!(browser.run(shown).await, json!(0), "{page}");
        let background = browser.run("return getComputedStyle(document.querySelector('h1')).color").await;
        assert_eq!(background, json!("rgb(29, 28, 26)"), "{page} prints dark letters");
        let printed = browser.chromium("Page.printToPDF", json!({ "paperWidth": 8.27, "paperHeight": 11.7 })).await;
        assert!(printed["data"].as_str().unwrap().len() > 10_000, "{page}");
        media(&browser, "", &[]).await;
    }
}

#[tokio::test]
async fn forced_colours_and_still_pages_lose_nothing() {
    let (platform, _) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/calls").await;
    media(&browser, "", &[("forced-colors", "active"), ("prefers-reduced-motion", "reduce")]).await;
    let pressed = "const style = (one) => { const { outlineStyle, outlineWidth } = getComputedStyle(one); return outlineStyle + outlineWidth; }; \
        return ['.presets button[aria-pressed=true]', 'nav a[aria-current]'].map((one) => style(document.querySelector(one)))";
    assert_eq!(browser.run(pressed).await, json!(["solid2px", "solid2px"]), "what is chosen can be seen");
    assert_eq!(barriers(&browser).await, Vec::<String>::new());
    let moving = "return [...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration) > 0).length + document.getAnimations().length";
    assert_eq!(browser.run(moving).await, json!(0));
    open(&browser, "/ui/functions/cat").await;
    browser.keys(&[key::TAB]).await;
    let focus = "const { outlineStyle } = getComputedStyle(document.activeElement); return outlineStyle !== 'none'";
    assert_eq!(browser.run(focus).await, json!(true), "the focus can be seen");
    let bar =
        "const bar = document.querySelector('.meter-track'); return bar && getComputedStyle(bar).forcedColorAdjust";
    assert_eq!(browser.wait_for("a bar", bar).await, json!("none"), "bars keep their colours");
}
