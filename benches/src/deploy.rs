//! Deploying functions through a gateway, as users do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode};
use skep_protocol::FunctionDeployment;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::http::{Target, with_requests};

const CONNECTIONS: usize = 64;
const DEPLOYED_WITHIN: Duration = Duration::from_secs(120);

/// Deploys functions over some connections; how long that took.
pub(crate) async fn deploy(gateway: SocketAddr, functions: Vec<FunctionDeployment>) -> Result<Duration> {
    let begun = Instant::now();
    let target = Target { expected: StatusCode::ACCEPTED, ..Target::new(gateway, "/system/functions") };
    let left = Arc::new(Mutex::new(functions.into_iter()));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (target, left) = (target.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            with_requests(&target, async |requests| {
                loop {
                    let Some(function) = left.lock().await.next() else { return Ok(()) };
                    requests.send(Method::POST, serde_json::to_vec(&function)?.into()).await?;
                }
            })
            .await
        });
    }
    let all = async {
        while let Some(deployed) = tasks.join_next().await {
            deployed??;
        }
        anyhow::Ok(())
    };
    let done = timeout(DEPLOYED_WITHIN, all).await;
    done.with_context(|| format!("not all functions were deployed within {DEPLOYED_WITHIN:?}; see --functions"))??;
    Ok(begun.elapsed())
}
