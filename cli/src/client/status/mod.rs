//! `skep status`: how an installation is, live or once.

pub(crate) mod args;
mod detail;
mod figures;
mod keys;
mod screen;

use std::io::{self, IsTerminal};

use serde::Serialize;
use skep_protocol::{InstallationStatus, NatsHealth};
use time::OffsetDateTime;
use tokio::time::sleep;

use self::{
    args::StatusArgs,
    figures::{HEADINGS, Order, Row, cells, rows},
};
use super::{api::Api, print_json, table};
use crate::{failure::Result, output};

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    functions: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<u64>,
    /// How the NATS servers are, for callers that may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<NatsHealth>,
}

pub(crate) async fn run(args: StatusArgs) -> Result<()> {
    let StatusArgs { once, interval, client } = args;
    let api = Api::new(client)?;
    let is_live = !once && !api.as_json && io::stdin().is_terminal() && io::stdout().is_terminal();
    if is_live {
        return Box::pin(screen::show(&api, interval)).await;
    }
    // Rates take two looks.
    let before = look(&api).await?;
    sleep(interval).await;
    let (now, nats) = tokio::join!(look(&api), servers(&api));
    let now = now?;
    let rows = rows(&before, &now, Order::Name);
    if api.as_json {
        return print_json(&Printed { at: now.at, functions: rows, dead_letters: now.dead_letters, nats });
    }
    if rows.is_empty() {
        output::line("No functions.");
    } else {
        table::print(HEADINGS, rows.iter().map(cells));
    }
    for row in &rows {
        if let Some(problem) = &row.now.problem {
            output::line(table::one_line(&format!("{}: {problem}", row.now.name)));
        }
    }
    // Of a single server that is well there is nothing to say.
    if let Some(nats) = nats.filter(|nats| nats.servers.len() > 1 || !nats.problems.is_empty()) {
        output::line(format_args!("NATS: {}", nats.summary()));
        problems(&nats).into_iter().for_each(output::line);
    }
    Ok(())
}

/// How the NATS servers are; `None` for a caller that may not know it, and of a gateway that is older.
async fn servers(api: &Api) -> Option<NatsHealth> {
    api.json(api.get(&["nats"])).await.ok().filter(|health: &NatsHealth| !health.servers.is_empty())
}

/// Each problem with what to do about it.
fn problems(nats: &NatsHealth) -> Vec<String> {
    nats.problems.iter().map(|problem| table::one_line(&format!("NATS: {}; {}", problem.what, problem.fix))).collect()
}

async fn look(api: &Api) -> Result<InstallationStatus> {
    api.json(api.get(&["status"])).await
}
