//! `skep versions`, `skep diff`, `skep rollback` and `skep promote`.

pub(crate) mod args;
pub(crate) mod canary;

use reqwest::{Method, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_protocol::{FunctionVersion, KeptVersion, ListedVersion, SettingChange, VersionCause, changes};

use self::args::{DiffArgs, RollbackArgs, VersionsArgs, VersionsCommand};
use super::{
    plan,
    ready::{self, Awaited},
};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

pub(super) async fn run(command: VersionsCommand) -> Result<()> {
    match command {
        VersionsCommand::Versions(args) => versions(args).await,
        VersionsCommand::Diff(args) => diff(args).await,
        VersionsCommand::Rollback(args) => Box::pin(rollback(args)).await,
        VersionsCommand::Promote(args) => Box::pin(canary::promote(args)).await,
    }
}

/// The number of the version that an answer has made, if it names it.
pub(super) fn made_by(response: &Response) -> Option<u64> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    location.rsplit_once('/')?.1.parse().ok()
}

/// What made a version, in words.
pub(crate) fn what(version: &FunctionVersion) -> String {
    let restored = version.restores.map(|number| format!(" to version {number}")).unwrap_or_default();
    match version.cause {
        VersionCause::Deploy => "deployed".to_owned(),
        VersionCause::Update if version.changed.is_empty() => "updated".to_owned(),
        VersionCause::Update => version.changed.join(", "),
        VersionCause::Rollback => format!("rolled back{restored}"),
        VersionCause::AutomaticRollback => format!("rolled back{restored} by skep"),
        VersionCause::Unknown => "not known".to_owned(),
    }
}

async fn versions(args: VersionsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let versions = listed(&api, &args.name).await?;
    if api.as_json {
        return print_json(&versions);
    }
    let rows = versions.into_iter().map(|ListedVersion { version, state }| {
        let note = version.note.as_ref().map(|note| note.as_str().to_owned()).unwrap_or_default();
        let (number, what) = (version.number.to_string(), what(&version));
        [number, state.as_str().to_owned(), table::at(version.at), version.actor, what, note]
    });
    table::print(["VERSION", "STATE", "AT", "BY", "CHANGED", "NOTE"], rows);
    Ok(())
}

/// What `skep diff --json` prints.
#[derive(Serialize)]
struct Differences {
    from: u64,
    to: u64,
    changes: Vec<SettingChange>,
}

async fn diff(args: DiffArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let to = match args.to {
        Some(to) => to,
        None => {
            let current = listed(&api, &args.name).await?.first().map(|listed| listed.version.number);
            current.ok_or_else(|| Failure::Missing(format!("{} has no versions", args.name)))?
        }
    };
    let (former, wanted) = (version(&api, &args.name, args.from).await?, version(&api, &args.name, to).await?);
    let changes = changes(&wanted.deployment, &former.deployment);
    if api.as_json {
        return print_json(&Differences { from: args.from, to, changes });
    }
    if changes.is_empty() {
        output::line(format_args!("Versions {} and {to} have the same settings.", args.from));
    }
    plan::print_changes(&changes, "");
    Ok(())
}

/// What the gateway answers to a rollback.
#[derive(Deserialize, Serialize)]
struct Made {
    version: u64,
    restores: u64,
}

async fn rollback(args: RollbackArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let former = super::function(&api, &args.name).await?.instances;
    let request = api.request(Method::POST, &["function", &args.name, "rollback"]);
    let made: Made = api.json(request.json(&json!({ "version": args.number, "note": args.note }))).await?;
    if !api.as_json {
        let Made { version, restores } = made;
        output::line(format_args!("{} has version {version} now, with the settings of version {restores}", args.name));
    }
    if !args.ready.no_wait {
        let awaited = Awaited::updated(args.name, former).of_version(Some(made.version));
        ready::wait(&api, vec![awaited], args.ready.timeout).await?;
    }
    if api.as_json { print_json(&made) } else { Ok(()) }
}

async fn listed(api: &Api, name: &str) -> Result<Vec<ListedVersion>> {
    api.json(api.get(&["function", name, "versions"])).await
}

async fn version(api: &Api, name: &str, number: u64) -> Result<KeptVersion> {
    api.json(api.get(&["function", name, "versions", &number.to_string()])).await
}
