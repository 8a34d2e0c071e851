//! What the controller knows of the program of a source.

use std::{sync::Arc, time::Duration};

use axum::{Json as AnswerJson, extract::State};
use serde::Deserialize;
use skep_protocol::{LogLine, ProgramState, SourceName, SourceProgram, SourceStatus, control::ReadSourceProgram};
use tokio::time::timeout;

use super::{named, require};
use crate::{
    Result,
    app::App,
    input::{Queried, Segment},
};

/// The lines of an answer, unless the request says how many.
const LINES: usize = 100;
/// Sources can be looked at while there is no controller.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Which lines are asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    tail: Option<usize>,
}

pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(wanted): Queried<Wanted>,
) -> Result<AnswerJson<Vec<LogLine>>> {
    let source = named(&name)?;
    require(&app, &source).await?;
    let asked = ReadSourceProgram { source, lines: wanted.tail.unwrap_or(LINES) };
    Ok(AnswerJson(app.control(&asked).await?.lines))
}

/// Adds the state of its program to a source's status.
pub(super) async fn add_state(app: &App, status: &mut SourceStatus) {
    if status.kind != "program" {
        return;
    }
    let Some(program) = report(app, &status.name).await else { return };
    if program.state != ProgramState::Stopped {
        status.problem = status.problem.take().or_else(|| problem(&program));
    }
    status.program = Some(program);
}

async fn report(app: &App, source: &SourceName) -> Option<SourceProgram> {
    let asked = ReadSourceProgram { source: source.clone(), lines: 0 };
    timeout(REPORT_TIMEOUT, app.control(&asked)).await.ok()?.ok()?.program
}

/// What keeps it from taking events now.
fn problem(program: &SourceProgram) -> Option<String> {
    match program.state {
        ProgramState::Waiting => program.last_error.clone(),
        ProgramState::Running => program.last_error.clone().filter(|reason| reason.starts_with("its events")),
        ProgramState::Stopped => None,
    }
}
