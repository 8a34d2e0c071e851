//! An answer that comes line by line.

use reqwest::Response;

use super::api::Api;
use crate::failure::Result;

pub(super) struct Lines {
    response: Response,
    received: Vec<u8>,
    longest: usize,
}

impl Lines {
    /// A line that is longer than `longest` does not come from skep.
    pub(super) fn of(response: Response, longest: usize) -> Self {
        Self { response, received: Vec::new(), longest }
    }

    /// The next line; `None` at the end of the answer.
    pub(super) async fn next(&mut self, api: &Api) -> Result<Option<Vec<u8>>> {
        let mut looked_at = 0;
        loop {
            let found = self.received.iter().skip(looked_at).position(|&byte| byte == b'\n');
            if let Some(end) = found {
                return Ok(Some(self.received.drain(..=looked_at + end).collect()));
            }
            looked_at = self.received.len();
            if looked_at > self.longest {
                return Err(api.stranger("a line of the stream has no end"));
            }
            match self.response.chunk().await.map_err(|error| api.unreachable(&error))? {
                Some(chunk) => self.received.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}
