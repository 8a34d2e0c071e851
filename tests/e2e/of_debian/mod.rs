//! Sources that run programs as Debian has them: PostgreSQL's clients, and inotifywait. `tests/README.md` says what they need.

mod postgres;
mod templates;

use std::fs;

use http::Method;
use serde_json::json;

use self::postgres::Postgres;
use crate::harness::{Function, Platform, Site, answer_to, repository, wait_until};

const SOURCES: &str = "/system/sources";

#[tokio::test]
async fn each_file_that_is_written_into_a_folder_calls_a_function_once() {
    let platform = Platform::start([Function::new("index", r#"sh -c 'echo "$(cat)" >> runs'"#)]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let inbox = site.path("inbox");
    fs::create_dir(&inbox).unwrap();
    let program = format!("inotifywait -q -m -e close_write -e moved_to --format %w%f {}", inbox.display());
    let spec = json!({ "name": "inbox", "program": program, "routes": [{ "to": "index" }] });
    assert_eq!(gateway.send(Method::POST, SOURCES, &spec).await.status, 201);
    // What is written before it watches is not seen.
    wait_until("it watches", async || {
        fs::write(inbox.join("first"), "x").unwrap();
        !site.runs().is_empty()
    })
    .await;
    for file in 0..50 {
        fs::write(inbox.join(format!("file-{file}")), "x").unwrap();
    }
    let named = |file: &str| site.runs().iter().filter(|run| **run == inbox.join(file).display().to_string()).count();
    wait_until("each file is named", async || (0..50).all(|file| named(&format!("file-{file}")) >= 1)).await;
    assert!((0..50).all(|file| named(&format!("file-{file}")) == 1), "{:?}", site.runs());
}

#[tokio::test]
async fn each_row_of_an_outbox_is_one_call_although_skep_is_killed() {
    const ROWS: usize = 300;
    let postgres = Postgres::start().await;
    postgres.run("CREATE TABLE outbox (id bigserial PRIMARY KEY, body text NOT NULL)");
    let site = Site::new([Function::new("book", r#"sh -c 'cat >/dev/null; echo "$Http_X_Skep_Event_Id" >> runs'"#)]);
    let mut up = site.up(&[]).await;
    let script = repository().join("tests/fixtures/programs/outbox.py");
    let spec = json!({
        "name": "orders", "program": [script], "format": "json", "ack": "stdin", "id": ["json:id"],
        "environment": {
            "PGHOST": postgres.socket(), "PGUSER": "postgres", "PGDATABASE": "postgres",
        },
        "routes": [{ "to": "book" }],
    });
    let created = site.gateway.send(Method::POST, SOURCES, &spec).await;
    assert_eq!(created.status, 201, "{created:?}");
    for part in 0..3 {
        let rows = ROWS / 3;
        postgres.run(&format!(
            "INSERT INTO outbox (body) SELECT 'order ' || n FROM generate_series(1, {rows}) n; NOTIFY outbox"
        ));
        wait_until("some of the rows are called", async || site.runs().len() > part * rows + rows / 4).await;
        up.kill();
        wait_until("skep and its program have ended", async || site.processes().is_empty()).await;
        up = site.up(&[]).await;
    }
    wait_until("the outbox is empty", async || postgres.run("SELECT count(*) FROM outbox") == "0").await;
    wait_until("each row has called", async || {
        let ids: std::collections::HashSet<String> = site.runs().into_iter().collect();
        ids.len() == ROWS
    })
    .await;
    let calls = async || {
        let calls = answer_to(site.gateway.get("/system/calls?limit=1000")).await;
        calls.text().matches(r#""callId":"ev-"#).count()
    };
    // A call that runs straight from its event is listed when it has ended.
    wait_until("each row is a call", async || calls().await >= ROWS).await;
    assert_eq!(calls().await, ROWS, "each row is one call");
    drop(up);
}
