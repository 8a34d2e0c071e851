//! Chromium as its user drives it, by chromedriver: W3C WebDriver is JSON over HTTP.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use http::Method;
use reqwest::Client;
use serde_json::{Value, json};

use super::{Program, Site, http_client, wait_for, wait_until};

/// What W3C names the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const MAX_TABS: usize = 150;

/// What the driver says of an element that the page has replaced, or that something lies over for a moment.
const PASSING: [&str; 3] = ["stale element reference", "element click intercepted", "element not interactable"];

/// A button, a link or a field that arguments[0] names.
const NAMED: &str = "const isNamed = (one) => [one.innerText?.trim(), one.ariaLabel, one.closest('label')?.querySelector('span')?.innerText.trim()].includes(arguments[0]); ";

/// Keys that have no character.
pub(crate) mod key {
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const LEFT: &str = "\u{e012}";
    pub(crate) const CONTROL: &str = "\u{e009}";
}

/// One window of a browser.
pub(crate) struct Browser {
    http: Client,
    /// The address of the driver's session.
    session: String,
    /// The gateway's.
    pub(crate) origin: String,
    _driver: Program,
}

impl Drop for Browser {
    /// Ends the browser, which would outlive its driver.
    fn drop(&mut self) {
        let Some((address, path)) = self.session.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return;
        };
        let Ok(mut driver) = TcpStream::connect(address) else { return };
        let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        // A browser that does not answer any more cannot be ended this way.
        let _ = driver
            .set_read_timeout(Some(Duration::from_secs(10)))
            .and_then(|()| driver.write_all(request.as_bytes()))
            .and_then(|()| driver.read_to_end(&mut Vec::new()));
    }
}

impl Browser {
    pub(crate) async fn start(site: &Site) -> Self {
        let mut command = Command::new("chromedriver");
        command.env("TMPDIR", site.path("tmp")).env("HOME", site.folder()).arg("--port=0");
        let driver = Program::start("chromedriver", command, site.folder());
        let port = wait_for("the driver's port", async || {
            let said = driver.stdout();
            let (_, rest) = said.split_once("successfully on port ")?;
            rest.split(|other: char| !other.is_ascii_digit()).next()?.parse::<u16>().ok()
        })
        .await;
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-proxy-server",
            "--enable-precise-memory-info",
            "--host-resolver-rules=MAP evil.test 127.0.0.1",
            // The browser's own guard of this machine: skep's is to be seen.
            "--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessSendPreflights",
            "--window-size=1280,800",
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            // Half a minute, which is usual for scripts, may pass on a busy machine.
            "timeouts": { "script": 180_000 },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let http = http_client();
        let address = format!("http://127.0.0.1:{port}/session");
        let made = ask(&http, Method::POST, &address, &capabilities).await;
        let session = format!("{address}/{}", made["sessionId"].as_str().unwrap());
        Self { http, session, origin: format!("http://{}", site.listen), _driver: driver }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        ask(&self.http, Method::POST, &format!("{}/{path}", self.session), body).await
    }

    /// Opens a page of the gateway, and waits until its files are there.
    pub(crate) async fn open(&self, path: &str) {
        self.visit(&format!("{}{path}", self.origin)).await;
    }

    /// Opens any page.
    pub(crate) async fn visit(&self, url: &str) {
        self.post("url", &json!({ "url": url })).await;
    }

    /// The window that is driven now.
    pub(crate) async fn window(&self) -> String {
        ask(&self.http, Method::GET, &format!("{}/window", self.session), &Value::Null)
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Opens a further window, beside the one that is there, and drives that.
    pub(crate) async fn new_window(&self) {
        let made = self.post("window/new", &json!({ "type": "window" })).await;
        self.switch_to(made["handle"].as_str().unwrap()).await;
    }

    pub(crate) async fn switch_to(&self, window: &str) {
        self.post("window", &json!({ "handle": window })).await;
    }

    /// Answers the browser's question for a password, which it keeps.
    pub(crate) async fn log_in(&self, user: &str, password: &str) {
        self.visit(&format!("{}/ui/", self.origin.replace("://", &format!("://{user}:{password}@")))).await;
    }

    /// The address of the page, without the origin.
    pub(crate) async fn path(&self) -> String {
        self.run("return location.pathname + location.search").await.as_str().unwrap().to_owned()
    }

    /// What a script returns; its promises are waited for.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.run_with(script, &[]).await
    }

    pub(crate) async fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// A command of Chromium's own protocol.
    pub(crate) async fn chromium(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// The text of the page, as a reader sees it.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn wait_for_text(&self, text: &str) {
        let mut seen = String::new();
        let found = async {
            wait_until(&format!("{text:?} on the page"), async || {
                seen = self.text().await;
                seen.contains(text)
            })
            .await;
        };
        if tokio::time::timeout(Duration::from_secs(150), found).await.is_err() {
            panic!("{text:?} is not on {}:\n{seen}\n{:#?}", self.path().await, self.console().await);
        }
    }

    /// Waits until a script finds something.
    pub(crate) async fn wait_for(&self, what: &str, script: &str) -> Value {
        wait_for(what, async || {
            let found = self.run(script).await;
            (!found.is_null() && found != json!(false)).then_some(found)
        })
        .await
    }

    /// Does something with the element that a script finds, once it is there.
    async fn act(&self, script: &str, argument: &str, act: &str, body: &Value) {
        wait_for(&format!("{argument:?} on the page"), async || {
            let found = self.run_with(script, &[json!(argument)]).await;
            let element = found[ELEMENT].as_str()?;
            let address = format!("{}/element/{element}/{act}", self.session);
            match try_to_ask(&self.http, Method::POST, &address, body).await {
                Ok(_) => Some(()),
                // Nothing was done, and the page may have another one.
                Err(error) if PASSING.iter().any(|passing| error["error"] == *passing) => None,
                Err(error) => panic!("{address} {body}: {error}"),
            }
        })
        .await;
    }

    /// Clicks the button or the link with a text.
    pub(crate) async fn press(&self, text: &str) {
        let script = "const open = document.querySelector('dialog[open]') ?? document; \
             const fits = (one) => one.innerText.trim() === arguments[0] && one.checkVisibility() && !one.disabled; \
             const found = [...open.querySelectorAll('main button, main a, button, a, summary')].find(fits); \
             found?.scrollIntoView({ block: 'center' }); return found ?? null";
        self.act(script, text, "click", &json!({})).await;
    }

    /// Types into the field with a label, in place of what is there.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let script = "const open = document.querySelector('dialog[open]') ?? document; \
             const found = [...open.querySelectorAll('label')].find((one) => one.querySelector('span')?.innerText.trim() === arguments[0]); \
             const field = found?.querySelector('input, textarea'); if (!field?.checkVisibility()) return null; \
             field.scrollIntoView({ block: 'center' }); field.focus(); field.select(); return field";
        self.act(script, label, "value", &json!({ "text": text })).await;
    }

    /// Chooses from a list, once that is in it.
    pub(crate) async fn choose(&self, option: &str) {
        let script = "const open = document.querySelector('dialog[open]') ?? document; \
             return [...open.querySelectorAll('option')].find((one) => one.value === arguments[0]) ?? null";
        self.act(script, option, "click", &json!({})).await;
    }

    /// Moves the mouse to a place of the window.
    pub(crate) async fn point(&self, x: i64, y: i64) {
        let moved = json!({ "type": "pointerMove", "duration": 0, "x": x, "y": y });
        self.post("actions", &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": [moved] }] })).await;
    }

    /// Strikes keys, one after the other, wherever the focus is.
    pub(crate) async fn keys(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            let down = json!({ "type": "keyDown", "value": key });
            [down, json!({ "type": "keyUp", "value": key })]
        });
        self.strike(strokes.collect()).await;
    }

    /// Strikes a key while another one is held.
    pub(crate) async fn chord(&self, held: &str, struck: &str) {
        let stroke = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let strokes = [("keyDown", held), ("keyDown", struck), ("keyUp", struck), ("keyUp", held)];
        self.strike(strokes.map(|(kind, key)| stroke(kind, key)).into()).await;
    }

    async fn strike(&self, strokes: Vec<Value>) {
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] })).await;
    }

    /// Strikes Tab until the button, the link or the field with a name has the focus.
    pub(crate) async fn tab_to(&self, name: &str) {
        let is_there = format!(
            "{NAMED} return [...document.querySelectorAll('a, button, input, select, textarea, summary, [tabindex]')] \
             .some((one) => isNamed(one) && one.checkVisibility() && !one.disabled)"
        );
        wait_until(&format!("{name:?} on the page"), async || {
            self.run_with(&is_there, &[json!(name)]).await == json!(true)
        })
        .await;
        let has_focus =
            format!("{NAMED} return document.activeElement !== document.body && isNamed(document.activeElement)");
        for _ in 0..MAX_TABS {
            if self.run_with(&has_focus, &[json!(name)]).await == json!(true) {
                return;
            }
            self.keys(&[key::TAB]).await;
        }
        panic!("{name:?} cannot be reached with Tab on {}:\n{}", self.path().await, self.text().await);
    }

    /// Types a text, wherever the focus is.
    pub(crate) async fn type_text(&self, text: &str) {
        let keys: Vec<String> = text.chars().map(String::from).collect();
        self.keys(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    /// What the console has said since it was last asked for, one line each, with its level.
    pub(crate) async fn console(&self) -> Vec<String> {
        let lines = self.post("se/log", &json!({ "type": "browser" })).await;
        let lines = lines.as_array().unwrap().iter();
        lines.map(|line| format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap())).collect()
    }

    /// The addresses that were asked for since this was last asked.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "performance" })).await;
        let messages = entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap());
        let events = messages.map(|message| serde_json::from_str::<Value>(message).unwrap()["message"].clone());
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// Has the page look as on a screen of this width, in the light or the dark.
    pub(crate) async fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.chromium("Emulation.setDeviceMetricsOverride", size).await;
        // Colours that change slowly are neither the one nor the other for a while.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        self.chromium("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        // What a page measures, such as the width of a chart, follows with the frames after it.
        self.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
            .await;
    }
}

async fn ask(http: &Client, method: Method, address: &str, body: &Value) -> Value {
    let answer = try_to_ask(http, method, address, body).await;
    answer.unwrap_or_else(|error| panic!("{address} {body}: {error}"))
}

/// What the driver answers, good or bad.
async fn try_to_ask(http: &Client, method: Method, address: &str, body: &Value) -> Result<Value, Value> {
    let request = http.request(method, address);
    let request = if body.is_null() { request } else { request.json(body) };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mut answer: Value = answer.json().await.unwrap();
    if status.is_success() { Ok(answer["value"].take()) } else { Err(answer["value"].take()) }
}
