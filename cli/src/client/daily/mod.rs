//! The commands of every day: deploying functions, calling them, looking at them, and what they need.

pub(crate) mod args;
mod colours;
mod deploy;
mod invoke;
mod list;
mod logs;
mod namespace;
mod needs;
mod plan;
mod progress;
mod prune;
mod ready;
mod remove;
mod running_canary;
mod scale;
pub(crate) mod secret;
mod sources;
pub(crate) mod versions;

use reqwest::RequestBuilder;
use skep_protocol::FunctionStatus;

use self::args::DailyCommand;
pub(super) use self::{logs::last_lines as last_log_lines, versions::canary};
use super::{api::Api, status};
use crate::failure::Result;

pub(crate) async fn run(command: DailyCommand) -> Result<()> {
    match command {
        DailyCommand::Deploy(args) => Box::pin(deploy::run(args)).await,
        DailyCommand::List(args) => list::run(args).await,
        DailyCommand::Invoke(args) => Box::pin(invoke::run(args)).await,
        DailyCommand::Logs(args) => logs::run(args).await,
        DailyCommand::Status(args) => Box::pin(status::run(args)).await,
        DailyCommand::Scale(args) => scale::run(args).await,
        DailyCommand::Remove(args) => remove::run(args).await,
        DailyCommand::Secret(command) => secret::run(command).await,
        DailyCommand::Namespace(command) => namespace::run(command).await,
        DailyCommand::Versions(command) => versions::run(command).await,
    }
}

/// A function, with how many of its queued calls wait.
pub(super) async fn function(api: &Api, name: &str) -> Result<FunctionStatus> {
    api.json(api.get(&["function", name])).await
}

/// The functions of a namespace.
async fn functions(api: &Api, namespace: Option<&str>) -> Result<Vec<FunctionStatus>> {
    api.json(in_namespace(api.get(&["functions"]), namespace)).await
}

fn in_namespace(request: RequestBuilder, namespace: Option<&str>) -> RequestBuilder {
    match namespace.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => request.query(&[("namespace", namespace)]),
        None => request,
    }
}

/// `NAME`, or `NAME.NAMESPACE`.
fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{name}.{namespace}") }
}
