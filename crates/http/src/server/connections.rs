//! The connections of a server, and how they end.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The connections of a server; cheap to clone.
///
/// They end in steps: [`close`](Self::close) lets requests in flight finish, [`cut`](Self::cut) does not.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    tasks: TaskTracker,
    leaving: CancellationToken,
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Connections {
    /// Once `leaving` is cancelled, each answer closes its connection.
    pub fn leaving_at(leaving: CancellationToken) -> Self {
        Self { leaving, ..Self::default() }
    }

    /// Runs something that belongs to a connection: [`ended`](Self::ended) waits for it, and [`cut`](Self::cut) drops it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            cut.run_until_cancelled(task).await;
        });
    }

    /// Closes idle connections now, and each other one after the request that is in flight.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Returns once the last connection has ended; for when no more are accepted.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    #[cfg(feature = "serve")]
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Runs a connection's task until it is cut.
    pub(crate) async fn until_cut(&self, connection: impl Future<Output = ()>) {
        self.cut.run_until_cancelled(connection).await;
    }
}
