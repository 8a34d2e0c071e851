//! `skep list`: the functions that are deployed.

use super::{args::ListArgs, full_name, functions};
use crate::{
    client::{api::Api, print_json, table},
    failure::Result,
    output,
};

pub(super) async fn run(args: ListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut functions = functions(&api, args.namespace.as_deref()).await?;
    functions.sort_by(|one, other| one.name.cmp(&other.name));
    if api.as_json {
        return print_json(&functions);
    }
    if functions.is_empty() {
        output::line("No functions.");
        return Ok(());
    }
    let rows = functions.into_iter().map(|function| {
        let runs = if function.env_process.is_empty() { function.image } else { function.env_process };
        [
            full_name(&function.name, &function.namespace),
            format!("{}/{}", function.available_replicas, function.replicas),
            function.invocation_count.to_string(),
            runs,
            function.problem.unwrap_or_default(),
        ]
    });
    table::print(["FUNCTION", "READY", "CALLS", "COMMAND", "PROBLEM"], rows);
    Ok(())
}
