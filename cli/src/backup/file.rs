//! The file of a backup.
//!
//! A line says what it is, and in which version of this format. Then come the parts: what each is, as JSON; its chunks; an empty chunk; and the SHA-256 of all of that. Each chunk has its length in front, four bytes with the highest first.
//! The last part is `end`: it has the number of parts and a SHA-256 of their sums, so a file that was cut between two parts is noticed.
//! What NATS copies is compressed already.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use skep_bus::{BackupPart, BackupReader, BackupWriter};

use super::progress::Progress;

const MAGIC: &str = "skep-backup ";
/// The version of this format; a reader knows it and those before.
const FORMAT: u32 = 1;
const END: &str = "end";
/// Chunks are smaller, so a greater length is damage.
const MAX_CHUNK: usize = 64 * 1024 * 1024;
const BUFFER: usize = 1024 * 1024;

type Sum = [u8; 32];

/// A backup that is being written, under another name until it is complete.
pub(super) struct Writer {
    file: BufWriter<File>,
    unfinished: PathBuf,
    name: PathBuf,
    written: u64,
    sum: Sha256,
    /// The sums of the parts, with the places behind them.
    parts: Vec<(u64, Sum)>,
    progress: Progress,
}

impl Writer {
    pub(super) fn create(name: &Path, progress: Progress) -> io::Result<Self> {
        if name.try_exists()? {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it exists already; choose another name"));
        }
        let mut unfinished = name.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let file = BufWriter::with_capacity(BUFFER, file);
        let (name, parts, sum) = (name.to_owned(), Vec::new(), Sha256::new());
        let mut writer = Self { file, unfinished, name, written: 0, sum, parts, progress };
        writer.put(format!("{MAGIC}{FORMAT}\n").as_bytes())?;
        Ok(writer)
    }

    /// Writes a part that is at hand.
    pub(super) fn part(&mut self, part: &BackupPart, chunks: &[Vec<u8>]) -> io::Result<()> {
        self.begin(part)?;
        for chunk in chunks {
            self.write(chunk)?;
        }
        self.end()
    }

    /// Completes the file; returns its size in bytes.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let about = json!({ "parts": self.parts.len(), "sums": hex(&sum_of(self.parts.iter().map(|(_, sum)| *sum))) });
        self.part(&BackupPart { kind: END.to_owned(), name: String::new(), about }, &[])?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.unfinished, &self.name)?;
        self.progress.clear();
        Ok(self.written)
    }

    /// Removes what was written.
    pub(super) fn give_up(self) {
        self.progress.clear();
        // The failure that led here is reported.
        let _ = fs::remove_file(&self.unfinished);
    }

    fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        let length = u32::try_from(chunk.len()).map_err(|_| io::Error::other("a chunk is too large"))?;
        self.put(&length.to_be_bytes())?;
        self.put(chunk)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

impl BackupWriter for Writer {
    fn begin(&mut self, part: &BackupPart) -> io::Result<()> {
        self.sum = Sha256::new();
        self.progress.begin(part);
        self.chunk(&serde_json::to_vec(part)?)
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.progress.add(chunk.len());
        if chunk.is_empty() { Ok(()) } else { self.chunk(chunk) }
    }

    fn end(&mut self) -> io::Result<()> {
        self.chunk(&[])?;
        let sum: Sum = self.sum.finalize_reset().into();
        self.file.write_all(&sum)?;
        self.written += sum.len() as u64;
        self.parts.push((self.written, sum));
        Ok(())
    }

    fn mark(&mut self) -> io::Result<u64> {
        Ok(self.written)
    }

    fn rewind(&mut self, mark: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(mark))?;
        self.file.get_ref().set_len(mark)?;
        self.parts.retain(|(end, _)| *end <= mark);
        self.written = mark;
        Ok(())
    }
}

/// A backup that is being read. Each part is read to its end before the next one begins.
pub(super) struct Reader {
    file: BufReader<File>,
    sum: Sha256,
    sums: Vec<Sum>,
    /// The part that is being read.
    part: Option<String>,
    progress: Progress,
}

impl Reader {
    pub(super) fn open(name: &Path, progress: Progress) -> io::Result<Self> {
        let file = BufReader::with_capacity(BUFFER, File::open(name)?);
        let mut reader = Self { file, sum: Sha256::new(), sums: Vec::new(), part: None, progress };
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') && line.len() < MAGIC.len() + 12 {
            let mut byte = [0];
            reader.file.read_exact(&mut byte).map_err(|_| damaged("it is no backup of skep"))?;
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line);
        let format: Option<u32> = line.strip_prefix(MAGIC).and_then(|format| format.trim_end().parse().ok());
        match format {
            Some(1..=FORMAT) => Ok(reader),
            Some(newer) => Err(damaged(&format!(
                "it has format {newer}, and this skep knows formats up to {FORMAT}: use a newer skep"
            ))),
            None => Err(damaged("it is no backup of skep")),
        }
    }

    /// The next part; `None` behind the last one, whose sums are right then.
    pub(super) fn next_part(&mut self) -> io::Result<Option<BackupPart>> {
        while self.part.is_some() {
            self.next_chunk()?;
        }
        self.part = Some("the start of a part".to_owned());
        self.sum = Sha256::new();
        let text = self.chunk()?;
        let part: BackupPart = serde_json::from_slice(&text).map_err(|_| self.is_damaged())?;
        self.part = Some(part.name.clone());
        self.progress.begin(&part);
        if part.kind != END {
            return Ok(Some(part));
        }
        let expected = json!({ "parts": self.sums.len(), "sums": hex(&sum_of(self.sums.iter().copied())) });
        while self.next_chunk()?.is_some() {}
        if part.about != expected {
            return Err(damaged("it is damaged: its parts are not those that were written"));
        }
        if self.file.read(&mut [0])? > 0 {
            return Err(damaged("it is damaged: something follows its end"));
        }
        self.progress.clear();
        Ok(None)
    }

    fn chunk(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        self.sum.update(length);
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_CHUNK {
            return Err(self.is_damaged());
        }
        let mut chunk = vec![0; length];
        self.read(&mut chunk)?;
        self.sum.update(&chunk);
        Ok(chunk.into())
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                damaged(&format!("it is truncated: it ends within {}", self.part.as_deref().unwrap_or_default()))
            }
            _ => error,
        })
    }

    fn is_damaged(&self) -> io::Error {
        damaged(&format!("it is damaged: {} is not what was written", self.part.as_deref().unwrap_or_default()))
    }
}

impl BackupReader for Reader {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.part.is_none() {
            return Ok(None);
        }
        let chunk = self.chunk()?;
        if !chunk.is_empty() {
            self.progress.add(chunk.len());
            return Ok(Some(chunk));
        }
        let mut sum = Sum::default();
        self.read(&mut sum)?;
        if sum != Sum::from(self.sum.finalize_reset()) {
            return Err(self.is_damaged());
        }
        self.sums.push(sum);
        self.part = None;
        Ok(None)
    }
}

fn sum_of(sums: impl Iterator<Item = Sum>) -> Sum {
    sums.fold(Sha256::new(), |all, sum| all.chain_update(sum)).finalize().into()
}

fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
