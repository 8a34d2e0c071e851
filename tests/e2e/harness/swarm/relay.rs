//! An engine at an address of the test, where it can be away.

use std::path::PathBuf;

use tokio::{
    net::{TcpListener, UnixStream},
    task::JoinSet,
};

use super::{Node, Swarm};

/// The engine is there as long as this is.
pub(crate) struct EngineRelay {
    _serving: JoinSet<()>,
}

impl EngineRelay {
    /// `tcp://` for containers.
    pub(crate) const URL: &str = "tcp://10.200.0.254:2375";

    pub(crate) async fn start(node: &Node) -> Self {
        let listener = TcpListener::bind((Swarm::here(), 2375)).await.unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, node.socket.clone()));
        Self { _serving: serving }
    }
}

/// Connections end with it.
async fn serve(listener: TcpListener, socket: PathBuf) {
    let mut connections = JoinSet::new();
    loop {
        let (mut caller, _) = listener.accept().await.unwrap();
        let mut engine = UnixStream::connect(&socket).await.unwrap();
        connections.spawn(async move {
            // The one that waits for an answer sees how it ended.
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut engine).await;
        });
    }
}
