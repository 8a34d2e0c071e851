//! `skep namespace`: groups of functions and secrets.

use reqwest::Method;
use serde_json::json;

use super::args::{NamespaceArgs, NamespaceCommand, NamespaceListArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::Result,
    output,
};

pub(super) async fn run(command: NamespaceCommand) -> Result<()> {
    match command {
        NamespaceCommand::List(args) => list(args).await,
        NamespaceCommand::Create(args) => change(args, Method::POST, "created").await,
        NamespaceCommand::Remove(args) => change(args, Method::DELETE, "removed").await,
    }
}

async fn list(args: NamespaceListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let namespaces: Vec<String> = api.json(api.get(&["namespaces"])).await?;
    if api.as_json {
        return print_json(&namespaces);
    }
    table::print(["NAMESPACE"], namespaces.into_iter().map(|name| [name]));
    Ok(())
}

async fn change(args: NamespaceArgs, method: Method, done: &str) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut request = api.request(method.clone(), &["namespace", &args.name]);
    if method == Method::POST {
        request = request.json(&json!({ "name": args.name }));
    }
    api.send(request).await?;
    if api.as_json {
        return print_json(&json!({ "namespace": args.name, "done": done }));
    }
    output::line(format_args!("namespace {} is {done}", args.name));
    Ok(())
}
