//! `skep sources keep` and `samples`: events that are kept, to be sent or tried again.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_protocol::{EventId, EventInfo};

use super::event_args::{KeepArgs, SamplesArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::Result,
    output,
};

#[derive(Serialize, Deserialize)]
struct Listed {
    label: EventId,
    #[serde(flatten)]
    event: EventInfo,
}

pub(super) async fn keep(args: KeepArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let KeepArgs { name, id, label, .. } = args;
    api.send(api.request(Method::PUT, &["sources", &name, "samples", &label]).json(&json!({ "event": id }))).await?;
    output::line(format_args!("{id} is sample {label} of {name}"));
    Ok(())
}

pub(super) async fn run(args: SamplesArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let path = ["sources", &args.name, "samples"];
    if let Some(label) = args.remove {
        api.send(api.request(Method::DELETE, &[&path[..], &[&label]].concat())).await?;
        output::line(format_args!("sample {label} of {} is removed", args.name));
        return Ok(());
    }
    let samples: Vec<Listed> = api.json(api.get(&path)).await?;
    if api.as_json {
        return print_json(&samples);
    }
    if samples.is_empty() {
        output::line(format_args!("No samples: skep sources keep {} EVENT --as LABEL", args.name));
        return Ok(());
    }
    let rows = samples.into_iter().map(|Listed { label, event }| {
        [label.to_string(), event.kind, event.id.to_string(), table::at(event.received_at)]
    });
    table::print(["LABEL", "TYPE", "EVENT", "RECEIVED"], rows);
    Ok(())
}
