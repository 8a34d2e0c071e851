//! `skep sources secret`: the secrets of a source. A value goes in and never comes out.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use skep_protocol::SourceSecretStatus;

use super::{
    args::{SecretAddArgs, SecretCommand, SecretRemoveArgs, SourceArgs},
    read_text,
};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

pub(super) async fn run(command: SecretCommand) -> Result<()> {
    match command {
        SecretCommand::Add(args) => add(args).await,
        SecretCommand::List(args) => list(args).await,
        SecretCommand::Remove(args) => remove(args).await,
    }
}

#[derive(Deserialize)]
struct Added {
    number: u64,
}

async fn add(args: SecretAddArgs) -> Result<()> {
    let SecretAddArgs { source, file, name, expires, retire_others, client } = args;
    if client.password_stdin && file.is_none() {
        return Err(Failure::setting("STDIN holds the password, so name a file with the secret: --file"));
    }
    if file.is_none() && io::stdin().is_terminal() {
        output::line("Paste the secret and press Enter and Ctrl-D:");
    }
    let file = file.as_deref().unwrap_or(Path::new("-"));
    let text = read_text(file).map_err(|error| Failure::setting(format!("--file {}: {error}", file.display())))?;
    let given = [("name", name), ("expires", expires), ("retire_others", retire_others)];
    let mut asked: Map<String, Value> =
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?)))).collect();
    asked.insert("value".to_owned(), Value::String(text.trim_end_matches(['\r', '\n']).to_owned()));
    let api = Api::new(client)?;
    let Added { number } = api.json(api.request(Method::POST, &["sources", &source, "secrets"]).json(&asked)).await?;
    if api.as_json {
        return print_json(&json!({ "number": number }));
    }
    output::line(format_args!("{source} has a new secret, number {number}"));
    Ok(())
}

async fn list(args: SourceArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let secrets: Vec<SourceSecretStatus> = api.json(api.get(&["sources", &args.name, "secrets"])).await?;
    if api.as_json {
        return print_json(&secrets);
    }
    if secrets.is_empty() {
        output::line("No secrets.");
    } else {
        print(&secrets);
    }
    Ok(())
}

async fn remove(args: SecretRemoveArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let SecretRemoveArgs { source, secret, .. } = args;
    let which = match secret.parse::<u64>() {
        Ok(number) => json!({ "number": number }),
        Err(_) => json!({ "name": secret }),
    };
    api.send(api.request(Method::DELETE, &["sources", &source, "secrets"]).json(&which)).await?;
    output::line(format_args!("secret {secret} of {source} is removed"));
    Ok(())
}

pub(super) fn print(secrets: &[SourceSecretStatus]) {
    let rows = secrets.iter().map(|secret| {
        let name = secret.name.clone().unwrap_or_default();
        let [used, expires] = [secret.last_used_at, secret.expires_at].map(|at| at.map(table::at).unwrap_or_default());
        [secret.number.to_string(), name, table::at(secret.created_at), used, expires]
    });
    table::print(["NUMBER", "NAME", "ADDED", "LAST USED", "EXPIRES"], rows);
}
