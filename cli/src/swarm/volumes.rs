//! The volumes of a stack are on several nodes, and an engine removes only its own. So a container of skep's image on each other node asks that node's engine.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    docker::{Refused, docker, docker_with_errors},
    nodes::{self, Node},
    stack::failed,
};
use crate::{
    args::RemoveVolumesArgs,
    failure::{Failure, Result},
    output, signals,
};

const NAMES: [&str; 6] = ["nats", "nats-1", "nats-2", "nats-3", "prometheus", "grafana"];
const SOCKET: &str = "/var/run/docker.sock";
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a container may take to end that has a volume.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(60);
/// More than the head of an answer.
const MAX_ANSWER: u64 = 64 * 1024;
/// One container on each node. It stays until the service goes, because Swarm keeps containers that have ended by themselves.
const CREATE: &str = "service create --detach --no-resolve-image --mode=global --restart-condition=none --read-only \
                      --cap-drop=ALL --no-healthcheck --user=0:0 --env=NODE={{.Node.Hostname}} \
                      --mount=type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock";
/// What a container says when the volumes are gone.
const GONE: &str = "the volumes are gone from the node ";

/// Removes the volumes of a stack from all nodes; returns the nodes where this was not possible.
pub(super) async fn remove(stack: &str, image: &str, wait: Duration) -> std::result::Result<Vec<String>, Refused> {
    let volumes = NAMES.map(|name| format!("{stack}_{name}"));
    for volume in &volumes {
        if docker(&["volume", "inspect", volume]).await.is_ok() {
            docker(&["volume", "rm", volume]).await?;
        }
    }
    let here = docker(&["info", "--format", "{{.Swarm.NodeID}}"]).await?;
    let others: Vec<Node> = nodes::all().await?.into_iter().filter(|node| node.id != here).collect();
    let name_of = |node: &Node| node.name.clone();
    let reached: Vec<String> = others.iter().filter(|node| node.is_ready && node.is_active).map(name_of).collect();
    let mut stay: Vec<String> = others.iter().map(name_of).collect();
    if !reached.is_empty() {
        let service = format!("{stack}_remove-volumes");
        // What an earlier run that was killed has left.
        let _ = docker(&["service", "rm", &service]).await;
        let (name, elsewhere) = (format!("--name={service}"), format!("--constraint=node.id != {here}"));
        let command = [name.as_str(), elsewhere.as_str(), image, "__remove-volumes"];
        let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
        let create: Vec<&str> = CREATE.split_whitespace().collect();
        docker(&[&create[..], &command, &volumes].concat()).await?;
        let gone = gone_from(&service, &reached, wait).await;
        docker(&["service", "rm", &service]).await?;
        let gone = gone?;
        stay.retain(|node| !gone.contains(node));
    }
    Ok(stay)
}

/// The nodes where the volumes are gone, once that is all of those that are reached, or a container has failed, or it takes too long.
async fn gone_from(service: &str, reached: &[String], wait: Duration) -> std::result::Result<Vec<String>, Refused> {
    let deadline = Instant::now() + wait;
    loop {
        let said = docker_with_errors(&["service", "logs", "--raw", service]).await?;
        let gone: Vec<String> = said.lines().filter_map(|line| line.strip_prefix(GONE)).map(str::to_owned).collect();
        let states = docker(&["service", "ps", "--format", "{{.CurrentState}}", service]).await?;
        let failed =
            states.lines().filter(|state| state.starts_with("Failed") || state.starts_with("Rejected")).count();
        if gone.len() + failed >= reached.len() || Instant::now() > deadline {
            return Ok(gone);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// `skep __remove-volumes`, in the container.
pub(crate) async fn remove_here(args: RemoveVolumesArgs) -> Result<()> {
    for volume in &args.volumes {
        let deadline = Instant::now() + IN_USE_TIMEOUT;
        loop {
            let answer = timeout(ANSWER_TIMEOUT, delete(volume)).await.map_err(Failure::internal)?;
            match answer.map_err(Failure::internal)? {
                // There was none, or it is gone.
                204 | 404 => break,
                409 if Instant::now() < deadline => tokio::time::sleep(LOOK_INTERVAL).await,
                status => return Err(failed(Refused(format!("the engine keeps the volume {volume}: {status}")))),
            }
        }
    }
    output::line(format_args!("{GONE}{}", args.node));
    signals::first_signal().await.map_err(Failure::internal)
}

/// Asks the engine of this node; returns the status of its answer.
async fn delete(volume: &str) -> io::Result<u16> {
    let mut engine = UnixStream::connect(SOCKET).await?;
    let request = format!("DELETE /volumes/{volume} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    engine.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    engine.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other("the engine's answer is not HTTP"))
}
