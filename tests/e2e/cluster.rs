//! Three NATS servers: what is said of them when some are away, and what callers read while they choose new leaders.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    harness::{
        Answer, Callers, Calling, Cluster, Function, Gateway, Outage, Platform, Program, Roles, SKEP, Site, answer_to,
        free_address, number, wait_for, wait_until,
    },
    nats,
};

/// How often a call's state is read while leaders change; `SKEP_STALE_READS` has it read more often.
const READS: u64 = 600;

async fn roles() -> Roles<Cluster> {
    let mut site = Site::new([Function::cat(), Function::new("echo", "cat")]);
    let cluster = Cluster::start(&mut site).await;
    Roles::start_with(site, cluster).await
}

/// One more gateway.
async fn second_gateway(roles: &Roles<Cluster>) -> (Program, Gateway) {
    let address = free_address();
    let arguments: Vec<&str> = roles.site.bus_arguments.iter().map(String::as_str).collect();
    let program = roles.site.start_gateway_at(address, &arguments).await;
    (program, Gateway::new(format!("http://{address}")))
}

#[tokio::test]
async fn a_server_that_is_gone_without_a_word_stops_callers_for_some_seconds_at_most() {
    let roles = roles().await;
    let (_second, second) = second_gateway(&roles).await;
    let gateways = [roles.gateway.clone(), second];
    let mut ids = Vec::new();
    for server in ["nats-1", "nats-2", "nats-3"] {
        let (sync, queue) = (Callers::start(Calling::Sync, &gateways), Callers::start(Calling::Queue, &gateways));
        wait_until("calls are accepted", async || queue.answered() > 20 && sync.answered() > 20).await;
        let gone = Instant::now();
        roles.nats.suspend(server).await;
        for (name, callers) in [("accepts", &queue), ("synchronous calls", &sync)] {
            let Outage { gap, until_all_prompt, refused, calls } = callers.outage_since(gone).await;
            eprintln!(
                "without {server}: {name}: no answer for {gap:.1?}, the last bad call ended after {until_all_prompt:.1?}, \
                 {refused} of {calls} were refused"
            );
        }
        roles.nats.resume(server);
        let (looked_up, unknown) = queue.looked_up();
        assert_eq!(unknown, 0, "of {looked_up} calls that were accepted, another gateway did not know these");
        ids.extend(queue.accepted());
        drop((sync, queue));
        wait_until("all is well again", async || is_whole(&health(&gateways[0]).await)).await;
    }
    for some in ids.chunks(16) {
        let ends = futures_util::future::join_all(some.iter().map(|id| gateways[0].finished(id))).await;
        assert!(ends.iter().all(|end| end["state"] == "succeeded"), "{ends:?}");
    }
    eprintln!("{} calls were accepted, and all of them ran", ids.len());
}

async fn health(gateway: &Gateway) -> Value {
    answer_to(gateway.get("/system/nats")).await.json()
}

/// The problems, each in one line.
fn problems(health: &Value) -> String {
    let problems = health["problems"].as_array().unwrap();
    problems.iter().map(|problem| format!("{}\n", problem["what"].as_str().unwrap())).collect()
}

async fn wait_for_health(gateway: &Gateway, what: &str, is_so: impl Fn(&Value) -> bool) {
    wait_until(what, async || is_so(&health(gateway).await)).await;
}

fn is_whole(health: &Value) -> bool {
    let streams = health["streams"].as_array().unwrap();
    let is_whole =
        |stream: &Value| stream["leader"].is_string() && stream["replicas"] == 3 && stream["behind"].is_null();
    streams.len() > 10 && streams.iter().all(is_whole) && health["leader"].is_string() && problems(health).is_empty()
}

/// `skep doctor` with these servers: its exit code and what it said.
async fn doctor(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let mut doctor = Command::new(&*SKEP);
    doctor.arg("doctor").args(arguments).current_dir(site.folder()).env("DOCKER_HOST", "unix:///nowhere");
    let output = tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn leaders_and_replicas_that_lack_something_are_reported_with_what_to_do() {
    let mut roles = roles().await;
    let gateway = roles.gateway.clone();
    wait_for_health(&gateway, "all is well", is_whole).await;
    let shown = roles.site.client(&["status", "--once", "--interval", "100ms"]).await.said();
    assert!(shown.contains("NATS: 3 of 3 servers answer, nats-") && shown.contains("streams are whole"), "{shown}");
    let (urls, monitors) = (roles.site.nats_url.clone(), roles.site.bus_arguments[3].clone());
    let listen = free_address().to_string();
    let arguments = ["--nats-url", &urls, "--nats-monitor", &monitors, "--listen", &listen];
    let (code, said) = doctor(&roles.site, &arguments).await;
    // On a busy machine it takes some milliseconds more.
    let said = said.replace("answers only after", "answers after");
    for words in ["answers after", "a request to NATS takes", "a message of 256 KiB takes", "streams are whole"] {
        assert!(code == Some(0) && said.contains(words), "{words}: {said}");
    }

    roles.nats.kill("nats-2");
    wait_for_health(&gateway, "what one server lacks is said", |health| {
        let problems = problems(health);
        problems.contains("does not answer") && problems.contains("nats-2 is offline") && health["leader"].is_string()
    })
    .await;
    let (code, said) = doctor(&roles.site, &arguments).await;
    assert!(code == Some(2) && said.contains("2 of 3 servers answer") && said.contains("to fix it"), "{said}");

    roles.nats.kill("nats-3");
    wait_for_health(&gateway, "that nothing is accepted is said", |health| {
        problems(health).contains("1 of 3 NATS servers answer, and 2 are needed: nothing is accepted")
    })
    .await;
    let refused = answer_to(gateway.post("/async-function/cat").body("x")).await;
    refused.assert_refused(503);
    let shown = roles.site.client(&["status", "--once", "--interval", "100ms"]).await.said();
    assert!(shown.contains("none leads") && shown.contains("bring one of the others back"), "{shown}");

    roles.nats.start_server(&roles.site, "nats-3");
    wait_until("calls are accepted again", async || {
        answer_to(gateway.post("/async-function/cat").body("x")).await.status == 202
    })
    .await;
    roles.nats.start_server(&roles.site, "nats-2");
    wait_for_health(&gateway, "all is well again", is_whole).await;
}

#[tokio::test]
async fn the_doctor_measures_a_skep_up() {
    let platform = Platform::start([]).await;
    let (site, listen) = (&platform.site, platform.site.listen.to_string());
    let data = site.data.to_str().unwrap();
    let (code, said) = doctor(site, &["--data-dir", data, "--listen", &listen]).await;
    // The disk of this machine may be full.
    assert!(code.is_some(), "{said}");
    for words in ["a request to NATS takes", "a message of 256 KiB takes", " syncs in ", " % full"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, printed) = doctor(site, &["--data-dir", data, "--listen", &listen, "--json"]).await;
    let printed: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert!(printed.as_array().unwrap().iter().any(|finding| finding["fine"].is_string()), "{printed}");
}

/// Has the streams choose other leaders, again and again.
async fn change_leaders(site: &Site) {
    let client = nats::client(site).await;
    for name in ["SKEP_INVOKE", "SKEP_CALLS", "SKEP_DELAYED", "SKEP_BACKLOG"].into_iter().cycle() {
        // One that is being chosen does not answer.
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{name}");
        let _ = client.request(subject, json!({}).to_string().into()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Queues a call through one gateway, and reads it three times: how many of these reads knew less than what was said before.
///
/// Its state when it was accepted, its state when its result is known, and the result again, through the other one.
async fn stale_reads(accepts: &Gateway, reads: &Gateway) -> usize {
    let id = answer(|| accepts.post("/async-function/cat").body("x")).await.header("x-call-id").to_owned();
    let (status, result) = (format!("/system/calls/{id}"), format!("/system/calls/{id}/result"));
    let state = answer(|| reads.get(&status)).await;
    let mut stale = usize::from(state.status != 200);
    let first = answer(|| accepts.get(&format!("{result}?wait=60s"))).await;
    assert_eq!((first.status, first.text()), (200, "x".to_owned()), "{id}");
    let state = answer(|| reads.get(&status)).await;
    stale += usize::from(state.status != 200 || state.json()["state"] != "succeeded");
    stale + usize::from(answer(|| reads.get(&result)).await.status != 200)
}

/// Asks again while NATS does not answer.
async fn answer(request: impl Fn() -> RequestBuilder) -> Answer {
    wait_for("an answer", async || Some(answer_to(request()).await).filter(|answer| answer.status != 503)).await
}

#[tokio::test]
async fn no_read_is_stale_while_leaders_change() {
    let roles = roles().await;
    let reads = number("SKEP_STALE_READS").unwrap_or(READS);
    let (_second, second) = second_gateway(&roles).await;
    let (one, other) = (&roles.gateway, &second);
    let each = |number| if number % 2 == 0 { stale_reads(one, other) } else { stale_reads(other, one) };
    let all = stream::iter(0..reads / 3).map(each).buffer_unordered(8);
    let all = all.fold(0, |sum, stale| std::future::ready(sum + stale));
    let stale = tokio::select! {
        stale = all => stale,
        () = change_leaders(&roles.site) => unreachable!("they change for ever"),
    };
    eprintln!("{stale} of {reads} reads were stale");
    assert_eq!(stale, 0);
}
