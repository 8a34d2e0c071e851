//! Sources that are programs: what they print becomes events, whatever they print and however they end.

use std::{fs, os::unix::fs::PermissionsExt};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Function, Gateway, Platform, Process, Program, Site, answer_to, metrics_of, processes_with, wait_for, wait_until,
};

const SOURCES: &str = "/system/sources";

/// Writes the event's id and its body into the file `runs`.
fn noted() -> Function {
    Function::new("noted", r#"sh -c 'echo "$Http_X_Skep_Event_Id $(cat)" >> runs'"#)
}

/// Puts a program into the test's folder, and returns a source that runs it there.
fn program(site: &Site, name: &str, script: &str) -> Value {
    let file = site.path(name);
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    json!({
        "name": "rows", "program": format!("./{name}"), "workdir": site.folder(),
        "environment": { "OF_SITE": site.folder() }, "routes": [{ "to": "noted" }],
    })
}

/// Everything that the program of this test has started and that lives.
fn processes(site: &Site) -> Vec<Process> {
    processes_with(&format!("OF_SITE={}", site.folder().display()))
}

async fn declare(gateway: &Gateway, spec: &Value) {
    let answer = gateway.send(Method::POST, SOURCES, spec).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn source(gateway: &Gateway) -> Value {
    answer_to(gateway.get("/system/sources/rows")).await.json()
}

/// Waits until what the API says of the program holds.
async fn program_is(gateway: &Gateway, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, async || Some(source(gateway).await["program"].clone()).filter(|program| is(program))).await
}

/// Waits until the metrics of programs have this.
async fn metrics_say(site: &Site, what: &str) {
    let wanted = format!("controller_source_program_{what}");
    wait_until(&wanted, async || metrics_of(site.admin).await.contains(&wanted)).await;
}

#[tokio::test]
async fn each_line_is_an_event_and_the_command_line_tells_how_the_program_is_doing() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let script = "#!/bin/sh\necho starting >&2\nfor number in 1 2 3; do echo line-$number; done\nexec sleep 1000\n";
    let spec = program(site, "print.sh", script);
    declare(gateway, &spec).await;
    site.wait_for_runs(3).await;
    let mut lines: Vec<_> = site.runs().iter().map(|run| run.split_once(' ').unwrap().1.to_owned()).collect();
    lines.sort();
    assert_eq!(lines, ["line-1", "line-2", "line-3"]);
    // The program's own count may follow what an event brings about.
    program_is(gateway, "three events of a running program", |program| {
        program["state"] == "running" && program["events"] == 3
    })
    .await;
    let reported = source(gateway).await;
    assert_eq!(
        (&reported["kind"], &reported["path"], &reported["problem"]),
        (&json!("program"), &Value::Null, &Value::Null)
    );
    let shown = site.client(&["sources", "show", "rows"]).await;
    assert!(shown.stdout.contains("running since") && shown.stdout.contains("program"), "{shown:?}");
    wait_until("its log", async || site.client(&["sources", "logs", "rows"]).await.stdout.contains("starting")).await;
    metrics_say(site, r#"up{source="rows"} 1"#).await;
    metrics_say(site, r#"messages_total{outcome="accepted",source="rows"} 3"#).await;

    // Other routes need no other program, and the next event takes them.
    let pid = program_is(gateway, "its process", |program| program["pid"].is_number()).await["pid"].clone();
    let mut other = spec.clone();
    other["routes"] = json!([]);
    assert_eq!(gateway.send(Method::PUT, SOURCES, &other).await.status, 200);
    assert_eq!(program_is(gateway, "its process", |program| program["pid"].is_number()).await["pid"], pid);
    let sleeps = || processes(site).len();
    assert!(sleeps() > 0);
    other["disabled"] = json!(true);
    assert_eq!(gateway.send(Method::PUT, SOURCES, &other).await.status, 200);
    wait_until("the program of a disabled source has ended", async || sleeps() == 0).await;
}

#[tokio::test]
async fn the_log_of_a_program_can_be_followed() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let script = "#!/bin/sh\necho first >&2\necho second >&2\nwhile [ ! -e go ]; do sleep 0.1; done\necho third >&2\nexec sleep 1000\n";
    let mut spec = program(site, "talk.sh", script);
    spec["routes"] = json!([]);
    declare(gateway, &spec).await;
    wait_until("its log begins", async || site.client(&["sources", "logs", "rows"]).await.stdout.contains("second"))
        .await;
    let command = site.client_command(&["sources", "logs", "rows", "-f", "--tail", "1"]);
    let following = Program::start("logs", command, site.folder());
    wait_until("the past", async || following.stdout().contains("second")).await;
    fs::write(site.path("go"), "").unwrap();
    wait_until("what comes", async || following.stdout().contains("third")).await;
    let said = following.stdout();
    assert!(!said.contains("first") && said.lines().count() == 2, "{said}");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_the_setting_that_is_wrong() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    for (spec, expected) in [
        (json!({ "name": "a", "program": "no-such-program-here" }), "was not found on PATH"),
        (json!({ "name": "a", "program": "./print.sh", "workdir": site.folder() }), "is not an executable file"),
        (json!({ "name": "a", "program": "cat", "workdir": "/no/such/folder" }), "workdir: folder /no/such/folder"),
        (json!({ "name": "a", "program": "cat", "workdir": site.data }), "in the data folder of skep"),
        (json!({ "name": "a", "program": "cat", "secrets": ["nothing"] }), "skep secret set nothing"),
        (json!({ "name": "a", "program": "cat", "format": "xml" }), "format"),
        (json!({ "name": "a", "program": "cat 'open" }), "open quote"),
    ] {
        let answer = gateway.send(Method::POST, SOURCES, &spec).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(expected), "{expected:?} is not in {}", answer.text());
    }
}

#[tokio::test]
async fn a_program_has_its_secrets_as_files_and_the_sandbox_of_functions() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let secret = json!({ "name": "mail", "value": "p4ss" });
    assert_eq!(gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    let script = format!(
        "#!/bin/sh\necho \"$FROM $SKEP_SOURCE $(cat $SKEP_SECRETS_DIR/mail)\"\necho \"nice $(nice)\"\n\
         grep NoNewPrivs /proc/self/status\nls {} >/dev/null 2>&1 && echo open || echo hidden\n\
         touch /var/tmp/of-a-source 2>/dev/null && echo writes || echo reads\nexec sleep 1000\n",
        site.data.join("secrets").display()
    );
    let mut spec = program(site, "print.sh", &script);
    spec["secrets"] = json!(["mail"]);
    spec["environment"]["FROM"] = json!("me");
    declare(gateway, &spec).await;
    site.wait_for_runs(5).await;
    let runs = site.runs().join("\n");
    for line in ["me rows p4ss", "nice 10", "NoNewPrivs:\t1", "hidden", "reads"] {
        assert!(runs.contains(line), "{line} is not in {runs}");
    }
    assert!(!source(gateway).await.to_string().contains("p4ss"));
    let refused = gateway.send(Method::DELETE, "/system/secrets", &json!({ "name": "mail" })).await;
    refused.assert_refused(409);
    assert!(refused.text().contains("used by source rows"), "{refused:?}");
}

#[tokio::test]
async fn hostile_output_is_counted_and_told_and_what_is_good_goes_on() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let script = "#!/usr/bin/env python3\nimport sys, time\nout = sys.stdout\n\
        print('x' * 10_000_000)\nprint('{\"id\": \"one\"}')\nprint('{\"id\": ', flush=True)\nsys.stdout.buffer.write(b'\\xff\\xfe\\n')\n\
        sys.stdout.buffer.flush()\nprint()\nprint('{\"id\": \"one\"}')\nprint('{\"id\": \"two\"}', flush=True)\ntime.sleep(1000)\n";
    let mut spec = program(site, "hostile.py", script);
    spec["format"] = json!("json");
    spec["id"] = json!(["json:id"]);
    declare(gateway, &spec).await;
    let reported = program_is(gateway, "all of it is read", |program| {
        program["events"] == json!(2) && program["refused"] == json!(3)
    })
    .await;
    assert!(reported["lastRefused"].as_str().unwrap().contains("it is no JSON"), "{reported}");
    site.wait_for_runs(2).await;
    let mut ids: Vec<_> = site.runs().iter().map(|run| run[..3].to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["one", "two"]);
    gateway.wait_for_duplicates("rows", 1).await;
    for line in [r#"{outcome="refused",source="rows"} 3"#, r#"{outcome="duplicate",source="rows"} 1"#] {
        metrics_say(site, &format!("messages_total{line}")).await;
    }
}

#[tokio::test]
async fn a_program_at_full_speed_is_read_no_faster_than_its_events_are_stored() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let mut spec = program(site, "fast.sh", "#!/bin/sh\nexec yes 0123456789012345678901234567890123456789\n");
    spec["routes"] = json!([]);
    declare(gateway, &spec).await;
    program_is(gateway, "many events", |program| program["events"].as_u64() > Some(2000)).await;
    // skep holds a window of events and a pipe, whatever the program would print.
    let up = platform.up.id();
    let memory = processes_with(&format!("LC_SKEP_SITE={}", site.path("tmp").display()));
    let memory = memory.iter().find(|process| process.id == up).map(|process| process.peak_memory());
    assert!(memory.is_some_and(|bytes| bytes < 600 << 20), "{memory:?}");
    assert_eq!(gateway.send(Method::DELETE, SOURCES, &json!({ "name": "rows" })).await.status, 200);
    wait_until("it has ended", async || processes(site).is_empty()).await;
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_later_and_later() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let spec = program(site, "dies.sh", "#!/bin/sh\ndate +%s%N >> starts\necho cannot connect >&2\nexit 3\n");
    declare(gateway, &spec).await;
    let reported = program_is(gateway, "four restarts", |program| program["restarts"].as_u64() >= Some(4)).await;
    let problem =
        wait_for("the problem is shown", async || source(gateway).await["problem"].as_str().map(str::to_owned));
    let problem = problem.await;
    assert!(problem.contains("exited with code 3") && problem.contains("cannot connect"), "{problem} {reported}");
    let starts = fs::read_to_string(site.path("starts")).unwrap();
    let starts: Vec<u64> = starts.lines().map(|line| line.parse().unwrap()).collect();
    let pauses: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    for (pause, least) in pauses.iter().zip([100, 200, 400, 800]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    // While it runs, for a moment, it has no problem.
    wait_until("the list shows the problem", async || {
        site.client(&["sources", "list"]).await.stdout.contains("exited with code 3")
    })
    .await;
    assert!(metrics_of(site.admin).await.contains(r#"controller_source_program_restarts_total{source="rows"}"#));
}

#[tokio::test]
async fn a_program_that_closes_its_stdout_is_started_again_and_all_it_started_ends_with_it() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    // A daemon in a session of its own, without its parent, and deaf to SIGTERM.
    let script = "#!/bin/sh\ntrap '' TERM\n(setsid sh -c 'trap \"\" TERM; while true; do sleep 1; done' </dev/null >/dev/null 2>&1 &)\n\
        echo one\nexec 1>&-\nwhile true; do sleep 1; done\n";
    declare(gateway, &program(site, "closes.sh", script)).await;
    let reported = program_is(gateway, "it is started again", |program| program["restarts"].as_u64() >= Some(1)).await;
    assert!(reported["lastError"].as_str().unwrap().contains("closed its STDOUT"), "{reported}");
    site.wait_for_runs(2).await;
    let count = processes(site).len();
    assert!(count < 8, "{count} processes: those of the runs before are still there");
    assert_eq!(gateway.send(Method::DELETE, SOURCES, &json!({ "name": "rows" })).await.status, 200);
    wait_until("no process is left", async || processes(site).is_empty()).await;
}

/// Prints the numbers of the file `rows` that are not in the file `done`, and writes those there that it reads.
const OUTBOX: &str = r#"#!/usr/bin/env python3
import os, sys, threading, time
def acks():
    for line in sys.stdin:
        with open("done", "a") as done:
            done.write(line)
            done.flush()
            os.fsync(done.fileno())
    os._exit(0)
threading.Thread(target=acks).start()
printed = set()
while True:
    done = set(open("done").read().split()) if os.path.exists("done") else set()
    for row in open("rows").read().split():
        if row not in done and row not in printed:
            printed.add(row)
            print('{"row": "row-%s"}' % row, flush=True)
            time.sleep(0.002)
    time.sleep(0.05)
"#;

#[tokio::test]
async fn with_acks_each_row_is_one_call_although_skep_is_killed_again_and_again() {
    const ROWS: usize = 400;
    let site = Site::new([noted()]);
    let rows: String = (0..ROWS).map(|row| format!("{row}\n")).collect();
    fs::write(site.path("rows"), rows).unwrap();
    let mut up = site.up(&[]).await;
    // What it reads is `row-N`, so it differs from what it printed.
    let script = OUTBOX.replace("done.write(line)", "done.write(line.replace('row-', ''))");
    let mut spec = program(&site, "outbox.py", &script);
    spec["format"] = json!("json");
    spec["ack"] = json!("stdin");
    spec["id"] = json!(["json:row"]);
    declare(&site.gateway, &spec).await;
    let done = || fs::read_to_string(site.path("done")).unwrap_or_default().lines().count();
    for stop in [50, 150, 250] {
        wait_until("some rows are done", async || done() >= stop).await;
        up.kill();
        wait_until("skep and its program have ended", async || site.processes().is_empty()).await;
        up = site.up(&[]).await;
    }
    wait_until("all rows are done", async || done() >= ROWS).await;
    wait_until("each row was a call", async || {
        let runs = site.runs();
        let ids: std::collections::HashSet<_> =
            runs.iter().map(|run| run.split(' ').next().unwrap().to_owned()).collect();
        ids.len() == ROWS
    })
    .await;
    // A call whose worker is killed runs again, so the calls are counted and not the runs.
    let events = site.client(&["sources", "events", "rows", "--json", "--limit", "1000"]).await;
    let events: Value = serde_json::from_str(&events.stdout).unwrap();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(ROWS), "{events}");
    drop(up);
}

#[tokio::test]
async fn what_is_no_event_is_told_to_a_program_that_asks_in_the_order_of_its_messages() {
    let platform = Platform::start([noted()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let script = "#!/bin/sh\nprintf '{\"id\":\"a\"}\\n{\\n[1]\\n{\"id\":\"b\"}\\n'\nexec cat > told\n";
    let mut spec = program(site, "asks.sh", script);
    spec["format"] = json!("json");
    spec["ack"] = json!("stdin");
    spec["id"] = json!(["json:id"]);
    declare(gateway, &spec).await;
    let reported = wait_for("four lines are there", async || {
        let reported = fs::read_to_string(site.path("told")).unwrap_or_default();
        Some(reported).filter(|reported| reported.lines().count() == 4)
    })
    .await;
    let lines: Vec<_> = reported.lines().collect();
    assert_eq!((lines[0], lines[2], lines[3]), ("a", "3", "b"));
    assert!(lines[1].starts_with("!2 it is no JSON"), "{reported}");
}
