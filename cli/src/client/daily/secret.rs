//! `skep secret`: what functions need to know and nobody else may. A value goes in and is never shown.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::json;
use skep_protocol::Secret;

use super::{
    args::{ListArgs, NamesArgs, SecretCommand, SecretSetArgs},
    in_namespace,
};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

/// What the gateway takes, as base64, in a body of 1 MiB.
const MAX_VALUE: u64 = 700 * 1024;

pub(super) async fn run(command: SecretCommand) -> Result<()> {
    match command {
        SecretCommand::List(args) => list(args).await,
        SecretCommand::Set(args) => set(args).await,
        SecretCommand::Remove(args) => remove(args).await,
    }
}

async fn list(args: ListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let secrets: Vec<Secret> = api.json(in_namespace(api.get(&["secrets"]), args.namespace.as_deref())).await?;
    if api.as_json {
        return print_json(&secrets);
    }
    if secrets.is_empty() {
        output::line("No secrets.");
        return Ok(());
    }
    table::print(["SECRET"], secrets.into_iter().map(|secret| [secret.name]));
    Ok(())
}

async fn set(args: SecretSetArgs) -> Result<()> {
    if args.client.password_stdin && args.file.is_none() {
        return Err(Failure::setting("--password-stdin and the value cannot both come from STDIN: give --file"));
    }
    let api = Api::new(args.client)?;
    let value = read(args.file.as_deref(), args.exact)?;
    let secret = Secret {
        name: args.name,
        namespace: args.namespace.unwrap_or_default(),
        value: String::new(),
        raw_value: STANDARD.encode(value),
    };
    let put = |method| in_namespace(api.request(method, &["secrets"]), Some(&secret.namespace)).json(&secret);
    let done = match api.send_unless(put(Method::PUT), StatusCode::NOT_FOUND).await? {
        Some(_) => "has a new value",
        None => {
            api.send(put(Method::POST)).await?;
            "is created"
        }
    };
    if api.as_json {
        return print_json(&json!({ "secret": secret.name, "done": done }));
    }
    output::line(format_args!("secret {} {done}", secret.name));
    Ok(())
}

/// The value, from a file or STDIN.
pub(crate) fn read(file: Option<&Path>, is_exact: bool) -> Result<Vec<u8>> {
    let (mut value, from) = (Vec::new(), file.map_or("STDIN".to_owned(), |file| file.display().to_string()));
    let read = match file {
        Some(file) => fs::File::open(file).and_then(|file| file.take(MAX_VALUE + 1).read_to_end(&mut value)),
        None if io::stdin().is_terminal() => {
            return Err(Failure::setting(
                "give the value on STDIN, as in: skep secret set NAME < FILE, or with --file",
            ));
        }
        None => io::stdin().take(MAX_VALUE + 1).read_to_end(&mut value),
    };
    read.map_err(|error| Failure::setting(format!("the value cannot be read from {from}: {error}")))?;
    if !is_exact && value.ends_with(b"\n") {
        value.pop();
        if value.ends_with(b"\r") {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(Failure::setting(format!("the value from {from} is empty")));
    }
    if value.len() as u64 > MAX_VALUE {
        return Err(Failure::setting(format!("the value from {from} is larger than {MAX_VALUE} bytes")));
    }
    Ok(value)
}

async fn remove(args: NamesArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let (mut removed, mut failures) = (Vec::new(), Vec::new());
    for name in args.names {
        let secret = json!({ "name": name, "namespace": args.namespace });
        let request = in_namespace(api.request(Method::DELETE, &["secrets"]), args.namespace.as_deref());
        match api.send(request.json(&secret)).await {
            Ok(_) => {
                if !api.as_json {
                    output::line(format_args!("secret {name} is removed"));
                }
                removed.push(name);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if api.as_json {
        print_json(&removed)?;
    }
    Failure::all(failures)
}
