//! `skep scale`: how many replicas a function has.

use reqwest::Method;
use serde_json::json;

use super::{
    args::ScaleArgs,
    ready::{self, Awaited},
};
use crate::{
    client::{api::Api, print_json},
    failure::Result,
    output,
};

pub(super) async fn run(args: ScaleArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let request = api.request(Method::POST, &["scale-function", &args.name]);
    api.send(request.json(&json!({ "replicas": args.replicas, "hold": args.hold }))).await?;
    if !api.as_json {
        output::line(format_args!("{} is scaled to {}", args.name, args.replicas));
    }
    if !args.ready.no_wait {
        ready::wait(&api, vec![Awaited::scaled(&args.name)], args.ready.timeout).await?;
    }
    if api.as_json {
        return print_json(&super::function(&api, &args.name).await?);
    }
    Ok(())
}
