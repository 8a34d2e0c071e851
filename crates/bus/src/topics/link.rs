//! The connections of one source to the server that its messages are on.

use std::{fmt, sync::Arc};

use async_nats::jetstream;
use tokio::sync::{Mutex, watch};

use crate::{
    BusConfig, Login, Result, ServerUrls, Topics,
    client::connect::{Outside, connect_once},
    client::connection::LastConnected,
};

/// Where the messages of a source are, and as whom it connects there.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct TopicLink {
    pub(crate) outside: Arc<Outside>,
    /// For questions whose answers no stranger writes.
    control: Arc<Control>,
    /// Whether it is skep's own account.
    pub(crate) is_own: bool,
}

enum Control {
    Own(jetstream::Context),
    Other(Mutex<Option<jetstream::Context>>),
}

impl Topics {
    /// The link to skep's own server and account, or to another one.
    pub fn link(&self, servers: Option<ServerUrls>, login: Option<Login>) -> TopicLink {
        let own = &self.nats.outside.config;
        let is_own = servers.is_none() && login.is_none();
        if is_own {
            let outside = Arc::new(Outside::new(own.clone()));
            let control = Arc::new(Control::Own(self.nats.jetstream.clone()));
            return TopicLink { outside, control, is_own };
        }
        // Another server gets no login of skep's.
        let config = BusConfig {
            servers: servers.unwrap_or_else(|| own.servers.clone()),
            login,
            name: format!("{} source", own.name),
            ..own.clone()
        };
        let outside = Arc::new(Outside { is_foreign: true, ..Outside::new(config) });
        TopicLink { outside, control: Arc::new(Control::Other(Mutex::new(None))), is_own }
    }
}

impl TopicLink {
    /// Changes when a connection for messages was made anew: it may have met one that it could not read.
    pub fn connections(&self) -> watch::Receiver<i64> {
        self.outside.connected.changes()
    }

    /// The server that it leads to; `None` for skep's own account.
    pub fn server(&self) -> Option<String> {
        (!self.is_own).then(|| self.outside.config.servers.to_string())
    }

    /// A connection for JetStream's answers, which are JSON whatever strangers send.
    pub(crate) async fn control(&self) -> Result<jetstream::Context> {
        let kept = match &*self.control {
            Control::Own(context) => return Ok(context.clone()),
            Control::Other(kept) => kept,
        };
        let mut kept = kept.lock().await;
        if let Some(context) = &*kept {
            return Ok(context.clone());
        }
        let context = connect_once(&self.outside, &LastConnected::default()).await?;
        Ok(kept.insert(context).clone())
    }
}

impl fmt::Debug for TopicLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TopicLink").field("is_own", &self.is_own).finish_non_exhaustive()
    }
}
