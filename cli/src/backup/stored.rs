//! Where the data of a backup is: in the NATS server of a data folder, running or not, or in another one.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skep_bus::{Login, Operator, ServerUrls};
use skep_sources::SealKey;

use crate::{
    args::{FetchArgs, NatsLoginArgs, SealArgs, StoredArgs},
    failure::{Failure, Result, bad_setting},
    nats, nats_program, seal,
    up::{encryption::Encryption, nats::NatsServer, surroundings::DataDir, users},
};

/// How long a server may take to start, and a cluster to have a leader.
const PATIENCE: Duration = Duration::from_secs(90);
const DATA_DIR: &str = ".skep";

pub(super) struct Stored {
    pub(super) operator: Operator,
    /// Where the secrets of functions are, if they are here.
    pub(super) data_dir: Option<PathBuf>,
    pub(super) seal_key: Option<Arc<SealKey>>,
    /// The server that was started for this, and its folder, which nobody else uses meanwhile.
    started: Option<(NatsServer, DataDir)>,
}

impl Stored {
    /// What a running skep has, or one that is stopped.
    pub(super) async fn to_read(args: &StoredArgs) -> Result<Self> {
        let Some(folder) = folder(args) else { return Self::elsewhere(args).await };
        if DataDir::is_in_use(&folder) {
            return Self::running(args, folder).await;
        }
        if !folder.join("nats").is_dir() {
            let reason = format!("there is no data of skep up in {}; --nats-url names a server", folder.display());
            return Err(bad_setting("--data-dir", reason));
        }
        Self::start(args, &folder, true).await
    }

    /// A place for what is restored.
    pub(super) async fn to_write(args: &StoredArgs) -> Result<Self> {
        match folder(args) {
            None => Self::elsewhere(args).await,
            // The server gives up on a piece after five seconds, so it cannot wait for the disk after each message.
            Some(folder) => Self::start(args, &folder, false).await,
        }
    }

    /// Stops the server that was started, and returns when the disk has all that it has written.
    pub(super) fn close(mut self) -> io::Result<()> {
        let Some((server, data_dir)) = &mut self.started else { return Ok(()) };
        server.stop();
        rustix::fs::syncfs(File::open(&data_dir.path)?).map_err(Into::into)
    }

    async fn elsewhere(args: &StoredArgs) -> Result<Self> {
        let login = nats::login(&args.login)?;
        let Some(servers) = &args.nats_url else { return Err(bad_setting("--nats-url", "is missing")) };
        Self::connect(args, servers, login.as_ref(), None, args.data_dir.clone()).await
    }

    async fn running(args: &StoredArgs, folder: PathBuf) -> Result<Self> {
        let (servers, login) = users::of_running(&folder)?;
        Self::connect(args, &servers, Some(&login), None, Some(folder)).await
    }

    async fn start(args: &StoredArgs, folder: &Path, syncs: bool) -> Result<Self> {
        no_login(&args.login)?;
        let fetch = FetchArgs { fetch_nats: false, nats_index: None };
        let program = nats_program::find_or_fetch(args.nats_server.as_deref(), &fetch).await?;
        let encryption = args.nats_encryption_key_file.as_deref().map(Encryption::read).transpose()?;
        let data_dir = DataDir::open(folder)?;
        // For this process alone, which finds it by its address.
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let path = data_dir.path.clone();
        let starting = NatsServer::start(&program, (listen, None), &path, &args.subject_prefix, &[], encryption, syncs);
        let server = starting.await?;
        let (servers, login) = users::of_running(&path)?;
        Self::connect(args, &servers, Some(&login), Some((server, data_dir)), Some(path)).await
    }

    async fn connect(
        args: &StoredArgs,
        servers: &ServerUrls,
        login: Option<&Login>,
        started: Option<(NatsServer, DataDir)>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self> {
        let connecting = Operator::connect(servers, login, args.subject_prefix.clone(), PATIENCE);
        let operator = connecting.await.map_err(|error| bad_setting("--nats-url", error.chain()))?;
        let own = data_dir.as_deref().map(seal::file).filter(|file| file.is_file());
        let seal_key_file = args.seal_key_file.clone().or(own);
        let seal_key = seal::read(&SealArgs { seal_key_file })?;
        Ok(Self { operator, data_dir, seal_key, started })
    }
}

/// The data folder to use the server of.
fn folder(args: &StoredArgs) -> Option<PathBuf> {
    if args.nats_url.is_some() {
        return None;
    }
    Some(args.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR)))
}

fn no_login(args: &NatsLoginArgs) -> Result<()> {
    match args.given() {
        Some(flag) => Err(bad_setting(flag, "needs --nats-url; the server of a data folder has its own users")),
        None => Ok(()),
    }
}

/// Why a backup, or a restore, came to nothing.
pub(super) fn failure(file: &Path, error: skep_bus::BackupError) -> Failure {
    use skep_bus::BackupError::{Bus, File, Refused};
    match error {
        Bus(error) => Failure::Internal(anyhow::anyhow!(error.chain())),
        File(error) => Failure::setting(format!("{}: {error}", file.display())),
        Refused(reason) => Failure::setting(reason),
    }
}
