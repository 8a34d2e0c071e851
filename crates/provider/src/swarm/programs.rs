//! Programs of sources do not run on a Swarm: the controller's image has no programs, and a service cannot be read from.

use async_trait::async_trait;
use skep_protocol::{LogLine, SourceName};

use super::Swarm;
use crate::{Error, ProgramSpec, Programs, Result, StartedProgram};

fn refused(source: &SourceName) -> Error {
    Error::Invalid(format!(
        "source {source}: a Swarm runs no programs of sources. Run the program as a service of your own that posts to \
         a webhook source, or publishes to NATS; or run skep up on the machine that has the program"
    ))
}

#[async_trait]
impl Programs for Swarm {
    async fn check_program(&self, source: &SourceName, _program: &ProgramSpec) -> Result<()> {
        Err(refused(source))
    }

    async fn start_program(&self, source: &SourceName, _program: &ProgramSpec) -> Result<StartedProgram> {
        Err(refused(source))
    }

    async fn renew_secrets(&self, _source: &SourceName, _program: &ProgramSpec) -> Result<()> {
        Ok(())
    }

    fn note(&self, _source: &SourceName, _line: String) {}

    fn lines(&self, _source: &SourceName, _most: usize) -> Vec<LogLine> {
        Vec::new()
    }

    fn forget_source(&self, _source: &SourceName) {}
}
