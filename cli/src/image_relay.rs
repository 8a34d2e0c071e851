//! `skep image-relay`: hands the connections of this node's engine on to a gateway, so that the engine pulls images from its own machine.
//!
//! Engines speak plain HTTP to their own machine and to nobody else. The relay knows no password and reads nothing: the gateway checks the login of the engine.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    args::ImageRelayRole,
    failure::{Failure, Result},
    signals, sockets,
};

/// An engine makes a few for each image.
const MAX_CONNECTIONS: usize = 128;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No layer takes this long.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3600);
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// What is under way at the end may go on for this long.
const GRACE: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: ImageRelayRole) -> Result<()> {
    let listener = sockets::bind("--listen", args.listen)?;
    let tasks = TaskTracker::new();
    tokio::select! {
        () = relay(&listener, args.images_from.into(), &tasks) => {}
        ended = signals::first_signal() => ended.map_err(Failure::internal)?,
    }
    drop(listener);
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
        warn!("connections have not ended within the grace period");
    }
    Ok(())
}

async fn relay(listener: &TcpListener, gateway: Arc<str>, tasks: &TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let engine = match listener.accept().await {
            Ok((engine, _)) => engine,
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let gateway = Arc::clone(&gateway);
        tasks.spawn(async move {
            let _place = place;
            if timeout(CONNECTION_TIMEOUT, hand_on(engine, &gateway)).await.is_err() {
                warn!("a connection took longer than {CONNECTION_TIMEOUT:?} and is cut");
            }
        });
    }
}

async fn hand_on(mut engine: TcpStream, gateway: &str) {
    let mut gateway = match timeout(CONNECT_TIMEOUT, TcpStream::connect(gateway)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return warn!(%error, gateway, "no gateway can be reached; the engine tries again"),
        Err(_) => return warn!(gateway, "no gateway answers; the engine tries again"),
    };
    if let Err(error) = copy_bidirectional(&mut engine, &mut gateway).await {
        debug!(%error, "a connection broke off");
    }
}
