//! The request's body on its way to STDIN.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, process::ChildStdin};

use crate::body::{CallBody, next_piece};

/// The client did not send what it announced; STDIN is still open.
pub(super) struct Broken {
    pub(super) reason: String,
    pub(super) stdin: Option<ChildStdin>,
}

/// Writes the body as it comes and as fast as it is read, then closes STDIN. A process that does not want it all is fine.
pub(super) async fn feed(body: &mut CallBody, mut stdin: Option<ChildStdin>, idle: Duration) -> Result<(), Broken> {
    while let Some(pipe) = &mut stdin {
        match next_piece(body, idle).await {
            Ok(None) => break,
            Ok(Some(data)) => {
                if pipe.write_all(&data).await.is_err() {
                    break;
                }
            }
            Err(reason) => return Err(Broken { reason, stdin }),
        }
    }
    Ok(())
}
