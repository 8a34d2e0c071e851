//! Fork mode: one process per request, its STDIN the request's body, its STDOUT the answer.

mod content_type;
mod conversation;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod marshal;
mod outcome;
mod variables;

use std::{
    io::{self, PipeReader, pipe},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::{net::unix::pipe::Receiver, process::Command, time::timeout};

use crate::{
    answer::{Answer, Source, refusal},
    body::{CallBody, collect, discard},
    deadline::limit_of,
    fork::conversation::{CallError, Finished, converse},
    lines::Origin,
    plan::{ForkPlan, Plan},
    processes::{Processes, Spawned},
};

/// Between TERM and KILL when a call took too long.
const TERM_GRACE: Duration = Duration::from_secs(1);

pub(crate) struct Fork {
    command: Vec<String>,
    plan: ForkPlan,
    exec_timeout: Option<Duration>,
    read_timeout: Duration,
    processes: Arc<Processes>,
}

impl Fork {
    pub(crate) fn new(plan: &Plan, fork: ForkPlan, processes: Arc<Processes>) -> Self {
        Self {
            command: plan.command.clone(),
            plan: fork,
            exec_timeout: plan.exec_timeout,
            read_timeout: plan.read_timeout,
            processes,
        }
    }

    pub(crate) async fn call(&self, request: Request<Incoming>) -> Answer {
        if !is_served(request.method()) {
            return refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                Source::Classic,
                "method not allowed\n",
            );
        }
        let begun = Instant::now();
        let limit = limit_of(request.headers(), self.exec_timeout);
        let (parts, body) = request.into_parts();
        let length = body.size_hint().exact();
        let mut body = match self.input(&parts, body).await {
            Ok(body) => body,
            Err(error) => return self.answer(&parts, begun, Err(error)),
        };
        self.processes.log().say("Forking fprocess.");
        let result = self.run(&parts, length, &mut body, limit).await;
        if !body.is_end_stream() {
            // A client that still sends would not see an answer on a connection that is closed to it.
            self.processes.tasks().spawn(discard(body));
        }
        self.answer(&parts, begun, result)
    }

    async fn input(&self, parts: &Parts, body: Incoming) -> Result<CallBody, CallError> {
        if !self.plan.marshal_request {
            return Ok(Either::Left(body));
        }
        let whole = collect(body, self.read_timeout).await.map_err(CallError::Body)?;
        Ok(Either::Right(Full::new(marshal::document(&parts.headers, &whole))))
    }

    async fn run(
        &self,
        parts: &Parts,
        length: Option<u64>,
        body: &mut CallBody,
        limit: Option<Duration>,
    ) -> Result<Finished, CallError> {
        let mut command = self.command(parts, length)?;
        let (mut process, output) = self.start(&mut command, parts).map_err(CallError::Start)?;
        // It holds the writing ends of the pipes.
        drop(command);
        let conversation = converse(&mut process, body, output, self.read_timeout);
        let result = match limit {
            Some(limit) => timeout(limit, conversation).await.unwrap_or(Err(CallError::TimedOut)),
            None => conversation.await,
        };
        match &result {
            // A broken body has killed it before.
            Ok(_) | Err(CallError::Body(_)) => {}
            Err(CallError::TimedOut) => process.end(TERM_GRACE).await,
            Err(CallError::Start(_) | CallError::Io(_)) => process.kill().await,
        }
        result
    }

    fn command(&self, parts: &Parts, length: Option<u64>) -> Result<Command, CallError> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(CallError::Start(io::Error::other("no program")));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        if self.plan.cgi_headers {
            command.envs(variables::of(parts, length, &self.plan.own_variables));
        }
        Ok(command)
    }

    /// Starts the process with its output connected: merged in one pipe, so in the order in which it was written, or apart.
    fn start(&self, command: &mut Command, parts: &Parts) -> io::Result<(Spawned, Receiver)> {
        let (reader, writer): (PipeReader, _) = pipe()?;
        if self.plan.combine_output {
            command.stderr(writer.try_clone()?);
        } else {
            command.stderr(Stdio::piped());
        }
        command.stdout(writer);
        let mut process = self.processes.spawn(command)?;
        if let Some(stderr) = process.take_stderr() {
            self.processes.relay(stderr, Origin::of_call("stderr", &parts.headers));
        }
        Ok((process, Receiver::from_owned_fd(reader.into())?))
    }
}

fn is_served(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::HEAD | Method::OPTIONS
    )
}
