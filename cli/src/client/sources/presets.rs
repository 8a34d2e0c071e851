//! `skep sources presets`: the providers that skep knows.

use serde_json::Value;

use super::args::{PresetsArgs, PresetsCommand, SourceArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

pub(super) async fn run(args: PresetsArgs) -> Result<()> {
    match args.command {
        Some(PresetsCommand::Show(args)) => show(args).await,
        None => list(args).await,
    }
}

async fn list(args: PresetsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let presets: Vec<Value> = api.json(api.get(&["presets"])).await?;
    if api.as_json {
        return print_json(&presets);
    }
    let text = |preset: &Value, key: &str| preset.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = presets.iter().map(|preset| [text(preset, "name"), schemes(preset), text(preset, "within")]);
    table::print(["PRESET", "CHECKED BY", "WAITS"], rows);
    Ok(())
}

async fn show(args: SourceArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let preset: Value = api.json(api.get(&["presets", &args.name])).await?;
    let text = serde_json::to_string_pretty(&preset).map_err(Failure::internal)?;
    output::line(output::harmless(&text));
    Ok(())
}

/// How a provider's events are checked, in some words.
fn schemes(preset: &Value) -> String {
    let words = |scheme: &Value| {
        ["hmac", "ed25519", "ecdsa-p256", "rsa-sha256", "token"]
            .into_iter()
            .find_map(|kind| Some(format!("{kind} {}", scheme.get(kind)?.as_str().unwrap_or_default())))
    };
    match preset.get("verify") {
        Some(Value::Array(schemes)) => schemes.iter().filter_map(words).collect::<Vec<_>>().join(", "),
        _ => "nothing".to_owned(),
    }
}
