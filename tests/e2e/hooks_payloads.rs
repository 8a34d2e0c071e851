//! Webhooks that GitHub has sent, through signature, filter and routes.

use std::{collections::HashSet, fs};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Function, Gateway, Platform, answer_to, repository, wait_until};

const ROUTES: [&str; 4] = ["all", "opened", "people", "labelled"];

/// A webhook's event, and its body as it came.
struct Sent {
    event: String,
    action: Option<String>,
    body: String,
}

impl Sent {
    /// The name of its file, which is its id.
    fn name(&self) -> String {
        [Some(&self.event), self.action.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>().join("_")
    }

    /// The routes that it is for, read without skep.
    fn routes(&self) -> HashSet<&'static str> {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let is_of_person = body["sender"]["type"] == "User"
            && body["repository"]["full_name"].as_str().is_some_and(|name| name.starts_with("gagbo/ouro"));
        let has_label = body["issue"]["labels"].as_array().is_some_and(|labels| !labels.is_empty());
        let is_opened = self.action.as_deref() == Some("opened");
        let taken = [true, is_opened, is_of_person, has_label];
        ROUTES.into_iter().zip(taken).filter_map(|(route, takes)| takes.then_some(route)).collect()
    }
}

fn all() -> Vec<Sent> {
    let files = fs::read_dir(repository().join("tests/fixtures/github/octocrab")).unwrap();
    let paths = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let sent = paths.map(|path| {
        let body = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let action = serde_json::from_str::<Value>(&body).unwrap()["action"].as_str().map(str::to_owned);
        let end = action.as_ref().map_or(name.len(), |action| name.len() - action.len() - 1);
        Sent { event: name[..end].to_owned(), action, body }
    });
    sent.collect()
}

fn source() -> Value {
    json!({ "preset": "github", "routes": [
        { "to": "seen", "name": "all" },
        { "to": "seen", "name": "opened", "filter": { "type": "*.opened" } },
        { "to": "seen", "name": "people", "filter": {
            "body.sender.type": "User", "body.repository.full_name": { "prefix": "gagbo/ouro" },
        } },
        { "to": "seen", "name": "labelled", "filter": { "body.issue.labels[*].name": { "exists": true } } },
    ] })
}

/// Whether an event was decided, and its calls ended, as it should.
async fn is_done(gateway: &Gateway, sent: &Sent) -> bool {
    let event = gateway.event("github", &sent.name()).await;
    let kind = [Some(&sent.event), sent.action.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>().join(".");
    assert_eq!((&event["type"], &event["verified"]), (&json!(kind), &json!("signature;key=1")), "{event}");
    let ignored = event["ignored"].as_array().unwrap().iter().map(|ignored| ignored["route"].as_str().unwrap());
    let taken: HashSet<_> =
        ROUTES.into_iter().collect::<HashSet<_>>().difference(&ignored.collect()).copied().collect();
    assert_eq!(taken, sent.routes(), "{event}");
    let calls = event["calls"].as_array().unwrap();
    assert_eq!(calls.len(), taken.len(), "{event}");
    calls.iter().all(|call| call["state"] == "succeeded")
}

#[tokio::test]
async fn each_real_webhook_takes_the_routes_that_it_is_for_and_its_bytes_arrive() {
    let line = "$Http_X_Skep_Event_Id $Http_X_Skep_Route $(sha256sum | cut -c1-64)";
    let platform = Platform::start([Function::new("seen", &format!(r#"sh -c 'echo "{line}" >> runs'"#))]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", source()).await;
    let all = all();
    assert_eq!(all.len(), 16);
    let answers = stream::iter(&all).map(async |sent| {
        let answer = answer_to(gateway.webhook("github", &sent.event, &sent.name(), &sent.body)).await;
        (answer.status, answer.header("x-skep-event-id").to_owned())
    });
    let answers: Vec<_> = answers.buffered(16).collect().await;
    // The ping with which the source was tried has the id of the real one.
    let names: Vec<_> = all.iter().map(|sent| (202, sent.name())).collect();
    assert_eq!(answers, names);
    let real: Vec<_> = all.iter().filter(|sent| sent.event != "ping").collect();
    for sent in &real {
        wait_until(&format!("the calls of {} have succeeded", sent.name()), async || is_done(gateway, sent).await)
            .await;
    }
    let expected = real.iter().flat_map(|sent| {
        let hash: String = Sha256::digest(&sent.body).iter().map(|byte| format!("{byte:02x}")).collect();
        sent.routes().into_iter().map(move |route| format!("{} {route} {hash}", sent.name()))
    });
    let runs: HashSet<_> = platform.site.runs().into_iter().filter(|run| !run.starts_with("ping ")).collect();
    assert_eq!(runs, expected.collect());
}
