//! A file with all decisions and what they were made from, for the simulator.

use std::path::PathBuf;

use skep_scaling::Record;
use tokio::{
    fs::OpenOptions,
    io::AsyncWriteExt,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};
use tracing::warn;

/// Lines that wait for the disk; more are dropped.
const MAX_WAITING: usize = 4096;
/// A file that is larger gets no more lines.
const MAX_BYTES: u64 = 1 << 30;

/// One JSON object a line, at the end of the file.
pub(crate) struct Recorder {
    path: PathBuf,
    lines: Sender<String>,
    waiting: Mutex<Receiver<String>>,
}

impl Recorder {
    pub(crate) fn new(path: PathBuf) -> Self {
        let (lines, waiting) = channel(MAX_WAITING);
        Self { path, lines, waiting: Mutex::new(waiting) }
    }

    pub(crate) fn write(&self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            // A disk that cannot keep up loses lines, and nothing else.
            let _ = self.lines.try_send(line + "\n");
        }
    }

    /// Writes what is recorded, until it is dropped, or the disk refuses.
    pub(crate) async fn run(&self) {
        if let Err(error) = self.append().await {
            let path = self.path.display();
            warn!(%error, %path, "the decisions about replicas are not recorded any more (--record-scaling)");
        }
    }

    async fn append(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).await?;
        let mut size = file.metadata().await?.len();
        let mut waiting = self.waiting.lock().await;
        while let Some(line) = waiting.recv().await {
            size += line.len() as u64;
            if size > MAX_BYTES {
                return Err(std::io::Error::other("the file has 1 GiB"));
            }
            file.write_all(line.as_bytes()).await?;
            file.flush().await?;
        }
        Ok(())
    }
}
