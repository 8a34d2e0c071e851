//! The facts of a request, for a process that was started before the request came: a JSON document in the file that `SKEP_REQUEST` names.
//!
//! The file is one of the watchdog's own pipes, opened through `/proc`: a process that reads it too early waits for its request, as it does on STDIN.

use std::{
    io::{self, PipeReader, PipeWriter, Write, pipe},
    os::fd::AsRawFd,
    process,
    time::Duration,
};

use http::request::Parts;
use serde_json::{Value, json};
use skep_protocol::headers::CALL_ID;

use crate::fork::{marshal::by_name, variables::decode};

/// The variable that names the file.
pub(super) const REQUEST: &str = "SKEP_REQUEST";
/// What a pipe can always hold.
const PIPE: usize = 64 * 1024;

/// The file of one process; it exists as long as this value.
#[derive(Debug)]
pub(super) struct Facts {
    reader: PipeReader,
    writer: Option<PipeWriter>,
}

impl Facts {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Ok(Self { reader, writer: Some(writer) })
    }

    /// The value of `SKEP_REQUEST`.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.reader.as_raw_fd())
    }

    /// Writes the request and ends the file.
    pub(super) fn write(&mut self, parts: &Parts, limit: Option<Duration>) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        let document = document(parts, limit).to_string();
        if document.len() > PIPE {
            // Otherwise writing a large document would block until there is a reader.
            #[cfg(target_os = "linux")]
            rustix::pipe::fcntl_setpipe_size(&writer, document.len())?;
        }
        writer.write_all(document.as_bytes())
    }
}

fn document(parts: &Parts, limit: Option<Duration>) -> Value {
    let mut headers = by_name(&parts.headers);
    // Libraries would use it as a proxy's address.
    headers.remove("Proxy");
    json!({
        "call_id": parts.headers.get(CALL_ID).map(|id| String::from_utf8_lossy(id.as_bytes())),
        "method": parts.method.as_str(),
        "path": decode(parts.uri.path()).to_string_lossy(),
        "query": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "timeout_ms": limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::Request;

    use super::*;

    #[test]
    fn the_file_has_the_whole_request_also_a_large_one() {
        let request = Request::post("/a%20b?c=d").header("x-call-id", "7").header("x-large", "x".repeat(200_000));
        let parts = request.body(()).unwrap().into_parts().0;
        let mut facts = Facts::new().unwrap();
        facts.write(&parts, Some(Duration::from_millis(1500))).unwrap();
        let document: Value = serde_json::from_str(&fs::read_to_string(facts.path()).unwrap()).unwrap();
        assert_eq!(document["call_id"], "7");
        assert_eq!((&document["method"], &document["path"]), (&"POST".into(), &"/a b".into()));
        assert_eq!((&document["query"], &document["timeout_ms"]), (&"c=d".into(), &1500.into()));
        assert_eq!(document["headers"]["X-Large"][0].as_str().map(str::len), Some(200_000));
    }
}
