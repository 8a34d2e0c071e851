//! `skep sources try` and `send`: a request as a provider would make it, from a file.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::anyhow;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use skep_protocol::{EventId, FunctionName, IgnoredRoute, RouteName};

use super::event_args::{RequestArgs, SendArgs, TryArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

/// What the gateway takes of JSON, which holds the body.
const MAX_BODY_BYTES: u64 = 1024 * 1024;
const CONTENT_TYPE: &str = "content-type";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Would {
    id: EventId,
    #[serde(rename = "type")]
    kind: String,
    routes: Vec<WouldCall>,
    ignored: Vec<IgnoredRoute>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WouldCall {
    route: RouteName,
    function: FunctionName,
    deployed: bool,
}

pub(super) async fn try_out(args: TryArgs) -> Result<()> {
    let asked = request_of(&args.request)?;
    let RequestArgs { name, client, .. } = args.request;
    let api = Api::new(client)?;
    let would: Vec<Would> = api.json(api.request(Method::POST, &["sources", &name, "try"]).json(&asked)).await?;
    if api.as_json {
        return print_json(&would);
    }
    for Would { id, kind, routes, ignored } in would {
        table::print_facts([("event", id.to_string()), ("type", kind)]);
        let taken = routes.into_iter().map(|call| {
            let becomes = if call.deployed { "a call" } else { "a dead letter, because the function is not deployed" };
            [call.route.to_string(), call.function.to_string(), becomes.to_owned()]
        });
        let ignored = ignored
            .into_iter()
            .map(|ignored| [ignored.route.to_string(), String::new(), format!("not taken: {}", ignored.reason)]);
        output::line("");
        table::print(["ROUTE", "FUNCTION", "WOULD BE"], taken.chain(ignored));
    }
    Ok(())
}

/// What the sender would have got.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    duplicate: bool,
    held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
}

pub(super) async fn send(args: SendArgs) -> Result<()> {
    let mut asked = request_of(&args.request)?;
    asked.insert("unsigned".to_owned(), args.unsigned.into());
    let RequestArgs { name, client, .. } = args.request;
    let api = Api::new(client)?;
    let answered: Answered = api.json(api.request(Method::POST, &["sources", &name, "send"]).json(&asked)).await?;
    if api.as_json {
        print_json(&answered)?;
    } else {
        let hint = match (&answered.event_id, answered.held) {
            (_, true) => format!("it could not be verified and is held: skep sources held {name}"),
            (Some(id), _) if answered.duplicate => format!("it was there before: skep sources event {name} {id}"),
            _ => String::new(),
        };
        table::print_facts([
            ("status", answered.status.to_string()),
            ("event", answered.event_id.clone().unwrap_or_default()),
            ("duplicate", if answered.duplicate { "yes".to_owned() } else { String::new() }),
            ("answer", answered.body.trim_end().to_owned()),
            ("note", hint),
        ]);
    }
    if answered.status < 400 {
        return Ok(());
    }
    let (status, code) = (answered.status, answered.error.unwrap_or_default());
    let why = if code == "unverified_event" { format!("; why: skep sources held {name}") } else { String::new() };
    Err(Failure::internal(anyhow!("the request is refused ({status} {code}){why}")))
}

fn request_of(args: &RequestArgs) -> Result<Map<String, Value>> {
    let mut headers: BTreeMap<String, String> = args.header.iter().cloned().collect();
    let mut asked = Map::new();
    if let Some(file) = &args.file {
        let bad = |reason: String| Failure::setting(format!("--file {}: {reason}", file.display()));
        let body = read(file).map_err(|error| bad(error.to_string()))?;
        if body.len() as u64 > MAX_BODY_BYTES {
            return Err(bad("it is longer than 1 MiB, which is what this command can send".to_owned()));
        }
        let has_type = headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE));
        if !has_type && serde_json::from_slice::<IgnoredAny>(&body).is_ok() {
            headers.insert(CONTENT_TYPE.to_owned(), "application/json".to_owned());
        }
        match String::from_utf8(body) {
            Ok(text) => asked.insert("text".to_owned(), Value::String(text)),
            Err(error) => asked.insert("body".to_owned(), Value::String(STANDARD.encode(error.as_bytes()))),
        };
    }
    asked.insert("headers".to_owned(), json!(headers));
    asked.insert("path".to_owned(), json!(args.path));
    asked.extend(args.sample.as_ref().map(|sample| ("sample".to_owned(), json!(sample))));
    asked.extend(args.query.as_ref().map(|query| ("query".to_owned(), json!(query))));
    Ok(asked)
}

/// The bytes of a file; `-` is STDIN.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells that it is too long.
    match file.to_str() {
        Some("-") => io::stdin().take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes)?,
        _ => fs::File::open(file)?.take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
