//! HTTP mode: one program that speaks HTTP itself; requests and answers pass through.

mod pool;
mod program;
mod proxied;
mod tunnel;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery};
use skep_http::{Body, Error::NotHttp};
use skep_protocol::headers::{is_event_stream, remove_hop_by_hop, remove_platform_words};
use tokio::time::{timeout, timeout_at};

use crate::{
    answer::{Answer, AnswerBody, Source, insert, refusal, text},
    body::{NotCollected, collect},
    deadline::{add_duration, limit_of, set_remaining},
    http::{
        pool::{Pool, SendError},
        program::Program,
        tunnel::Upgrade,
    },
    log::Log,
    plan::{HttpPlan, Plan},
    processes::Processes,
};

pub(crate) use proxied::ProxiedBody;
pub(crate) use tunnel::Tunnel;

const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// More headers of a program are refused; the gateway takes more, because some are added here.
const MAX_HEADERS: usize = 100;

pub(crate) struct HttpMode {
    program: Program,
    exec_timeout: Option<Duration>,
    read_timeout: Duration,
    input_buffer: usize,
    buffer_body: bool,
    ready_path: Option<PathAndQuery>,
    log: Log,
}

impl HttpMode {
    /// Starts the program, and keeps it running until [`stop`](Self::stop).
    pub(crate) fn start(plan: &Plan, http: HttpPlan, processes: &Arc<Processes>) -> Self {
        let ready_path = http.ready_path.as_ref().and_then(|path| path.parse().ok());
        let log = processes.log().clone();
        let program = Program::start(plan, http.upstream, ready_path.clone(), processes);
        Self {
            program,
            exec_timeout: plan.exec_timeout,
            read_timeout: plan.read_timeout,
            input_buffer: plan.input_buffer,
            buffer_body: http.buffer_body,
            ready_path,
            log,
        }
    }

    /// Returns when the program is ready for the first time, or was given up: then with the reason.
    pub(crate) async fn began(&self) -> Result<(), String> {
        self.program.began().await
    }

    pub(crate) async fn call(&self, mut request: Request<Body>) -> Answer {
        let begun = Instant::now();
        let pool = match self.program.pool() {
            Ok(pool) => pool,
            Err(state) => return not_ready(&state),
        };
        // A time that the clock does not reach is no limit.
        let until = limit_of(request.headers(), self.exec_timeout).and_then(|limit| begun.checked_add(limit));
        let upgrade = Upgrade::asked_by(&mut request);
        let mut request = match self.forwarded(request, &pool).await {
            Ok(request) => request,
            Err(error) => return error.answer(Source::OfWatchdog),
        };
        // What follows an upgrade goes on for as long as it likes.
        match (&upgrade, until) {
            (Some(upgrade), _) => upgrade.ask(request.headers_mut()),
            (None, Some(until)) => set_remaining(request.headers_mut(), until),
            (None, None) => {}
        }
        let sent = pool.send(request);
        let result = match until {
            None => sent.await,
            Some(until) => match timeout_at(until.into(), sent).await {
                Ok(result) => result,
                Err(_) => return self.timed_out(begun),
            },
        };
        let response = match result {
            Ok(response) if response.headers().len() > MAX_HEADERS => {
                return self.failure(&SendError::Lost(NotHttp("it has too many headers")));
            }
            Ok(response) => response,
            Err(error) => return self.failure(&error),
        };
        let mut answer = match upgrade {
            Some(upgrade) if response.status() == StatusCode::SWITCHING_PROTOCOLS => upgrade.agreed(response),
            Some(_) | None => {
                let streams = is_event_stream(response.headers());
                relayed(response, pool, until.filter(|_| !streams))
            }
        };
        add_duration(answer.headers_mut(), begun.elapsed());
        answer
    }

    /// 200 when the program answers, its own status when it has a path for that.
    pub(crate) async fn readiness(&self) -> Answer {
        let pool = match self.program.pool() {
            Ok(pool) => pool,
            Err(state) => return not_ready(&state),
        };
        let Some(path) = &self.ready_path else {
            return text(StatusCode::OK, "OK");
        };
        match timeout(READY_TIMEOUT, pool.probe(path)).await {
            Ok(Ok(status)) if status.is_success() => text(status, "OK"),
            Ok(Ok(status)) => {
                let text = format!("the function answers {} at its ready_path\n", status.as_u16());
                refusal(status, "not_ready", Source::OfWatchdog, text)
            }
            Ok(Err(_)) | Err(_) => not_ready("the function does not answer at its ready_path"),
        }
    }

    /// Ends the program: TERM, and KILL for its tree after a grace.
    pub(crate) async fn stop(&self) {
        self.program.stop().await;
    }

    /// For when everything is killed: the program is not started again.
    pub(crate) fn halt(&self) {
        self.program.halt();
    }

    async fn forwarded(&self, request: Request<Body>, pool: &Pool) -> Result<Request<Body>, NotCollected> {
        let broken = |error: http::Error| NotCollected::Broken(error.to_string());
        let (mut parts, body) = request.into_parts();
        remove_hop_by_hop(&mut parts.headers);
        // The watchdog's own server has answered it.
        parts.headers.remove(header::EXPECT);
        if !parts.headers.contains_key(header::HOST) {
            let host = parts.uri.authority().unwrap_or(pool.authority()).as_str();
            let host = HeaderValue::from_str(host).map_err(|error| broken(error.into()))?;
            parts.headers.insert(header::HOST, host);
        }
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        parts.uri = Uri::try_from(format!("{}{path}", pool.prefix())).map_err(|error| broken(error.into()))?;
        parts.version = Version::HTTP_11;
        let body = if self.buffer_body {
            parts.headers.remove(header::CONTENT_LENGTH);
            collect(body, self.read_timeout, self.input_buffer).await?.into()
        } else {
            body
        };
        Ok(Request::from_parts(parts, body))
    }

    fn timed_out(&self, begun: Instant) -> Answer {
        self.log.say(&format!("Upstream took too long: {:.6}s", begun.elapsed().as_secs_f64()));
        refusal(StatusCode::GATEWAY_TIMEOUT, "exec_timeout", Source::OfWatchdog, "the function took too long\n")
    }

    fn failure(&self, error: &SendError) -> Answer {
        self.log.say(&format!("Upstream HTTP request error: {error}"));
        match error {
            SendError::Connect(_) => {
                let state = self.program.pool().err();
                not_ready(state.as_deref().unwrap_or("the function does not take connections"))
            }
            SendError::Lost(_) => {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "upstream", Source::OfWatchdog, Bytes::new())
            }
        }
    }
}

fn relayed(response: Response<skep_http::Incoming>, pool: Arc<Pool>, until: Option<Instant>) -> Answer {
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    remove_platform_words(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, AnswerBody::proxied(ProxiedBody::new(body, pool, until)))
}

fn not_ready(state: &str) -> Answer {
    let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, "not_ready", Source::OfWatchdog, format!("{state}\n"));
    insert(&mut answer, header::RETRY_AFTER, "1");
    answer
}
