//! What people do with the web UI, from the beginning to the end.

use crate::harness::{Browser, Function, Platform, answer_to, key, wait_until};

/// Succeeds only if this is in the body.
const BROKEN: &str = "grep hello";

/// Deploys a function, and calls it at once and by way of the queue.
async fn deploy_and_call(browser: &Browser) {
    browser.open("/ui/functions").await;
    browser.press("Deploy a function").await;
    browser.fill("Name", "upper").await;
    browser.fill("Command", "tr a-z A-Z").await;
    browser.press("Deploy").await;
    browser.wait_for("the form of calls", "return location.pathname === '/ui/functions/upper/invoke'").await;
    browser.fill("Body", "shout").await;
    browser.press("Call it").await;
    browser.wait_for_text("SHOUT").await;
    browser.press("By way of the queue").await;
    browser.press("Queue the call").await;
    browser.wait_for_text("succeeded").await;
    let link = ".outcome a[href^=\"/ui/calls/\"]";
    browser.run(&format!("document.querySelector('{link}').click()")).await;
    browser.wait_for_text("What happened").await;
    browser.wait_for_text("SHOUT").await;
}

/// Deploys a change that breaks it, finds the call that dies of it, and sends that again with another body.
async fn break_and_redrive(platform: &Platform, browser: &Browser) {
    browser.open("/ui/functions/upper/config").await;
    browser.fill("Command", BROKEN).await;
    browser.press("Deploy the change").await;
    browser.wait_for_text("upper is updated").await;
    wait_until("the broken version", async || {
        platform.gateway.function("upper").await.is_some_and(|function| function["readyVersion"] == 2)
    })
    .await;
    browser.open("/ui/functions/upper/invoke?how=async").await;
    browser.fill("Body", "nothing").await;
    browser.press("Queue the call").await;
    browser.wait_for_text("dead").await;
    browser.open("/ui/dead").await;
    browser.wait_for("the dead letter", "return !!document.querySelector('a.row-link')").await;
    browser.run("document.querySelector('a.row-link').click()").await;
    browser.press("Edit and redrive").await;
    browser.fill("Body", "hello").await;
    browser.press("Redrive the changed call").await;
    browser.wait_for_text("What happened").await;
    browser.wait_for_text("succeeded").await;
}

/// Creates a webhook, sends it an event, and looks at what became of that.
async fn receive_an_event(browser: &Browser) {
    browser.open("/ui/sources").await;
    browser.press("Create a webhook").await;
    browser.fill("Name", "acme").await;
    browser.choose("upper").await;
    browser.fill("Secret (optional; it can be added later)", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    browser.press("Create it").await;
    browser.wait_for("the source", "return location.pathname === '/ui/sources/acme'").await;
    browser.press("Try and send").await;
    browser.fill("Body", r#"{"type":"order.hello"}"#).await;
    browser.press("Sign and send it").await;
    browser.wait_for_text("The sender would get 202").await;
    browser.run("document.querySelector('main a[href*=\"/events/\"]').click()").await;
    browser.wait_for_text("order.hello").await;
    browser.wait_for_text("succeeded").await;
}

/// Brings the first version back.
async fn roll_back(platform: &Platform, browser: &Browser) {
    browser.open("/ui/functions/upper/versions").await;
    browser.press("Roll back to it").await;
    browser.press("Roll back").await;
    browser.wait_for_text("with the settings of version 1").await;
    wait_until("the first version again", async || platform.gateway.call("upper", "back").await.text() == "BACK").await;
}

#[tokio::test]
async fn a_newcomer_does_everything_with_the_web_ui_alone() {
    let platform = Platform::start_with(&["--attempts", "1"], []).await;
    let browser = Browser::start(&platform.site).await;
    deploy_and_call(&browser).await;
    break_and_redrive(&platform, &browser).await;
    receive_an_event(&browser).await;
    roll_back(&platform, &browser).await;
    let errors: Vec<_> = browser.console().await.into_iter().filter(|line| line.starts_with("SEVERE")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test]
async fn a_canary_is_deployed_compared_and_promoted() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions/cat/config").await;
    browser.fill("Command", "tr a-z A-Z").await;
    browser.fill("Share of the calls", "50%").await;
    browser.press("Deploy the change").await;
    browser.wait_for_text("Its canary takes 50% of the calls").await;
    browser.open("/ui/functions/cat/versions").await;
    browser.wait_for_text("Version 2 takes 50 % of the calls").await;
    wait_until("the canary answers", async || platform.gateway.call("cat", "x").await.text() == "X").await;
    browser.press("Promote…").await;
    browser.wait_for_text("skep promote cat").await;
    browser.press("Promote it").await;
    browser.wait_for_text("Version 2 of cat takes all calls").await;
    wait_until("it takes all calls", async || {
        platform.gateway.function("cat").await.is_some_and(|function| function["readyVersion"] == 2)
    })
    .await;
}

#[tokio::test]
async fn a_call_is_made_again_from_its_page() {
    let platform = Platform::start_with(&["--attempts", "1"], [Function::cat(), Function::failing()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions/cat/invoke?how=async").await;
    browser.fill("Path", "/orders").await;
    browser.fill("Body", "once more").await;
    browser.press("Queue the call").await;
    browser.wait_for_text("succeeded").await;
    browser.run("document.querySelector('.outcome a[href^=\"/ui/calls/\"]').click()").await;
    browser.press("Call again").await;
    browser.wait_for_text("This is the request of").await;
    let form = "return [...document.querySelectorAll('main form input[type=text], main form textarea')].map((one) => one.value)";
    let filled = browser.run(form).await;
    assert!(filled.to_string().contains("/orders") && filled.to_string().contains("once more"), "{filled}");
    browser.press("Queue the call").await;
    browser.wait_for_text("succeeded").await;
    let calls = answer_to(platform.gateway.get("/system/calls?function=cat")).await.json();
    assert_eq!(calls.as_array().unwrap().len(), 2, "{calls}");

    // The request of one that somebody else has made is gone with its end.
    let other = platform.gateway.queue("cat", "x").await;
    platform.gateway.finished(&other).await;
    browser.open(&format!("/ui/calls/{other}")).await;
    browser.press("Call again").await;
    browser.wait_for_text("is not kept").await;

    // That of a dead one is kept.
    let dead = platform.gateway.queue("failing", "x").await;
    platform.gateway.finished(&dead).await;
    browser.open(&format!("/ui/calls/{dead}")).await;
    browser.press("Call again…").await;
    browser.wait_for_text(&format!("skep dead redrive {dead}")).await;
    browser.press("Call again").await;
    browser.wait_for_text("The call is queued again.").await;
}

#[tokio::test]
async fn everything_can_be_done_by_keyboard_alone() {
    let platform = Platform::start_with(&["--attempts", "1"], []).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/").await;
    browser.wait_for_text("Overview").await;
    browser.keys(&["g", "f"]).await;
    browser.tab_to("Deploy a function").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("Start with").await;
    browser.tab_to("Name").await;
    browser.type_text("picky").await;
    browser.tab_to("Command").await;
    browser.type_text(BROKEN).await;
    browser.tab_to("Deploy").await;
    browser.keys(&[key::ENTER]).await;

    browser.wait_for_text("The answer appears here").await;
    browser.tab_to("By way of the queue").await;
    browser.keys(&[key::ENTER]).await;
    browser.tab_to("Body").await;
    browser.type_text("nothing").await;
    browser.tab_to("Queue the call").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("dead").await;

    browser.keys(&["g", "c"]).await;
    browser
        .wait_for("a row", "return location.pathname === '/ui/calls' && !!document.querySelector('a.row-link')")
        .await;
    browser.keys(&["j", key::ENTER]).await;
    browser.wait_for_text("Look at its dead letter").await;
    browser.tab_to("Look at its dead letter").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("Last answer").await;
    browser.tab_to("Edit and redrive").await;
    browser.keys(&[key::ENTER]).await;
    browser.tab_to("Body").await;
    browser.chord(key::CONTROL, "a").await;
    browser.type_text("hello").await;
    browser.tab_to("Redrive the changed call").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("What happened").await;
    browser.wait_for_text("succeeded").await;
}

#[tokio::test]
async fn windows_can_be_used_by_keyboard_alone() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/").await;
    browser.wait_for_text("Overview").await;
    browser.keys(&["g", "s"]).await;
    browser.tab_to("Create a webhook").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("The address will be").await;
    // A window begins with its first field.
    browser.type_text("acme").await;
    browser.wait_for("the function", "return !!document.querySelector('option[value=cat]')").await;
    browser.tab_to("Calls the function").await;
    browser.type_text("cat").await;
    browser.tab_to("Secret (optional; it can be added later)").await;
    browser.type_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    browser.tab_to("Create it").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for("the source", "return location.pathname === '/ui/sources/acme'").await;

    browser.tab_to("Try and send").await;
    browser.keys(&[key::ENTER]).await;
    browser.tab_to("Sign and send it").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("The sender would get 202").await;

    browser.open("/ui/sources/acme").await;
    browser.wait_for_text("order.paid").await;
    browser.tab_to("Remove…").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("to go on").await;
    browser.keys(&[key::ESCAPE]).await;
    let given_back = "return !document.querySelector('dialog') && document.activeElement.innerText === 'Remove…'";
    browser.wait_for("the focus where it was", given_back).await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("to go on").await;
    browser.type_text("acme").await;
    browser.tab_to("Remove it").await;
    browser.keys(&[key::ENTER]).await;
    browser.wait_for_text("No source takes events yet").await;
}
