//! Fork mode: one process per request, with the request's body on STDIN and the answer on STDOUT.

pub(crate) mod cgi;
mod content_type;
mod conversation;
mod facts;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod marshal;
mod outcome;
mod output;
mod pipes;
mod prefork;
mod start;
mod variables;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Method, Request, StatusCode, Version, request::Parts};
use http_body::Body as _;
use skep_http::Body;
use skep_protocol::headers::SKEP_ATTEMPT;
use tokio::sync::oneshot;

use crate::{
    answer::{Answer, Source, refusal},
    body::collect,
    deadline::limit_of,
    fork::{
        conversation::{CallError, Conversation},
        feed::Feed,
        output::{Holding, Output, Stream},
        pipes::Writer,
        prefork::Prefork,
        start::{Started, Starter, Variable},
    },
    limit::Limit,
    lines::Origin,
    log::Log,
    plan::{ForkPlan, Plan},
    processes::Processes,
};

pub(crate) use output::StreamedBody;

/// How long a call without a timeout of its own waits for a process to end.
const MAX_TURN: Duration = Duration::from_secs(60);

pub(crate) struct Fork {
    plan: ForkPlan,
    exec_timeout: Option<Duration>,
    read_timeout: Duration,
    input_buffer: usize,
    starter: Arc<Starter>,
    places: Limit,
    prefork: Option<Prefork>,
    /// The last buffered answer did not fit into a pipe.
    is_large: AtomicBool,
}

impl Fork {
    /// Must be called inside the runtime.
    pub(crate) fn new(plan: &Plan, fork: ForkPlan, processes: &Arc<Processes>) -> Self {
        let starter = Arc::new(Starter::new(plan, &fork, Arc::clone(processes)));
        let prefork = (fork.prefork > 0).then(|| Prefork::begin(Arc::clone(&starter), fork.prefork));
        Self {
            places: Limit::new(fork.processes, plan.exec_timeout.unwrap_or(MAX_TURN)),
            plan: fork,
            exec_timeout: plan.exec_timeout,
            read_timeout: plan.read_timeout,
            input_buffer: plan.input_buffer,
            starter,
            prefork,
            is_large: AtomicBool::new(false),
        }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        if !is_served(request.method()) {
            return refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                Source::Classic,
                "method not allowed\n",
            );
        }
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let length = body.size_hint().exact();
        let begins = match self.input(&parts, body).await {
            Ok(body) => self.begin(&parts, length, body, begun).await,
            Err(error) => Err(error),
        };
        let (conversation, mut stream) = match begins {
            Ok(begins) => begins,
            Err(error) => return self.failure(&error),
        };
        let mut conversation = Box::pin(conversation.hold());
        let _refill = self.prefork.as_ref().map(Prefork::refill);
        let ended = tokio::select! {
            biased;
            ended = &mut conversation => ended,
            Ok(stream) = &mut stream => return self.streamed(&parts, begun, stream, conversation),
        };
        match stream.try_recv() {
            Ok(stream) => self.streamed(&parts, begun, stream, ready(ended)),
            Err(_) => self.whole(&parts, begun, ended.0),
        }
    }

    async fn input(&self, parts: &Parts, body: Body) -> Result<Body, CallError> {
        if !self.plan.marshal_request {
            return Ok(body);
        }
        let whole = collect(body, self.read_timeout, self.input_buffer).await?;
        Ok(marshal::document(&parts.headers, &whole).into())
    }

    /// Gives the request to a waiting process, or to a new one.
    async fn begin(
        &self,
        parts: &Parts,
        length: Option<u64>,
        mut body: Body,
        begun: Instant,
    ) -> Result<(Conversation, oneshot::Receiver<Stream>), CallError> {
        let place = self.places.enter().await.map_err(|_| CallError::TooManyProcesses(self.places.size()))?;
        let limit = limit_of(&parts.headers, self.exec_timeout).map(|limit| limit.saturating_sub(begun.elapsed()));
        self.log().say("Forking fprocess.");
        let (started, feed) = match self.prefork.as_ref().and_then(Prefork::take) {
            Some((started, stdin)) => (started, Feed::begin(stdin, &mut body).await),
            None => {
                let (stdin, its_stdin) = Writer::new().map_err(CallError::Start)?;
                let feed = Feed::begin(stdin, &mut body).await;
                let variables = self.variables(parts, length, limit);
                (self.starter.start(its_stdin, variables).map_err(CallError::Start)?, feed)
            }
        };
        let Started { mut process, output, facts } = started;
        if let Some(stderr) = process.take_stderr() {
            self.starter.processes().relay(stderr, Origin::of_call("stderr", &parts.headers));
        }
        let (output, stream) = Output::new(output, self.holding(parts));
        let facts = facts.map(|facts| (facts, parts.clone()));
        Ok((Conversation { process, feed, body, facts, output, idle: self.read_timeout, limit, _place: place }, stream))
    }

    /// None if processes wait for requests, because all processes must get the facts in the same way.
    fn variables(&self, parts: &Parts, length: Option<u64>, limit: Option<Duration>) -> Vec<Variable> {
        if self.prefork.is_some() {
            return Vec::new();
        }
        let mut variables = variables::of_watchdog(parts, limit);
        if self.plan.cgi_headers {
            variables.extend(variables::of(parts, length, &self.plan.own_variables));
        }
        variables
    }

    fn holding(&self, parts: &Parts) -> Holding {
        let passes_on = parts.version >= Version::HTTP_11;
        // The answer to an asynchronous call is stored whole, and HEAD asks for its length, so for both the status can say how the process ended.
        let is_whole = parts.headers.contains_key(SKEP_ATTEMPT) || parts.method == Method::HEAD;
        let streams = self.plan.streaming && passes_on && !is_whole;
        let most = if streams { 0 } else { self.plan.output_buffer };
        let waits = most > 0 && !self.is_large.load(Ordering::Relaxed);
        Holding { most, passes_on, has_head: self.plan.cgi_response, waits }
    }

    fn log(&self) -> &Log {
        self.starter.processes().log()
    }
}

fn is_served(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::HEAD | Method::OPTIONS
    )
}
