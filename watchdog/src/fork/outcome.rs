//! Turns the outcome of a process into the answer.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use crate::{
    answer::{Answer, AnswerBody, Source, insert, refusal},
    deadline::add_duration,
    fork::{
        Fork, cgi,
        content_type::sniff,
        conversation::{CallError, Finished},
        output::{Output, Stream},
    },
    lines::{Origin, log_output},
    log::Log,
};

/// The largest output that fits into a pipe, so that nobody has to read it while the process runs.
const PIPE: u64 = 64 * 1024;

impl Fork {
    /// The answer to a call if nothing was sent before the process ended.
    pub(super) fn whole(&self, parts: &Parts, begun: Instant, result: Result<Finished, CallError>) -> Answer {
        let took = begun.elapsed();
        let finished = match result {
            Ok(finished) => finished,
            Err(error) => return self.failure(&error),
        };
        self.is_large.store(finished.total > PIPE, Ordering::Relaxed);
        let output = finished.output.unwrap_or_default();
        let answer = if finished.status.success() {
            self.success(parts, took, output)
        } else {
            Ok(self.failed(parts, finished.status, took, &output))
        };
        answer.map_or_else(|error| self.failure(&error), |answer| with_duration(answer, took))
    }

    /// The answer to a call that is still running; the end of the body tells how the call ended.
    pub(super) fn streamed<C>(&self, parts: &Parts, begun: Instant, stream: Stream, conversation: C) -> Answer
    where
        C: Future<Output = (Result<Finished, CallError>, Output)> + Send + 'static,
    {
        let (mut answer, skipped) = match self.head(parts, &stream.first) {
            Ok(head) => head,
            Err(error) => return self.failure(&error),
        };
        let (body, gone) = stream.into_body(skipped);
        *answer.body_mut() = AnswerBody::streamed(body);
        let log = self.log().clone();
        let end = gone.run_until_cancelled_owned(async move {
            let (result, output) = conversation.await;
            let failure = match result {
                Ok(finished) if finished.status.success() => {
                    return log_success(&log, finished.total, begun.elapsed());
                }
                Ok(finished) => {
                    log_failure(&log, finished.status, begun.elapsed());
                    describe(finished.status)
                }
                Err(error) => {
                    log.say(&format!("Call failed: {error}, the answer was broken off"));
                    error.to_string()
                }
            };
            output.break_off(failure).await;
        });
        self.starter.processes().tasks().spawn(end);
        with_duration(answer, begun.elapsed())
    }

    fn success(&self, parts: &Parts, took: Duration, mut output: Bytes) -> Result<Answer, CallError> {
        if self.plan.write_debug {
            log_output(&output, &Origin::of_call("stdout", &parts.headers), self.log());
        } else {
            log_success(self.log(), output.len() as u64, took);
        }
        let (mut answer, skipped) = self.head(parts, &output)?;
        *answer.body_mut() = AnswerBody::whole(output.split_off(skipped));
        Ok(answer)
    }

    /// Status and headers of an answer, and the byte of the output at which its body begins.
    fn head(&self, parts: &Parts, output: &[u8]) -> Result<(Answer, usize), CallError> {
        let mut answer = Response::new(AnswerBody::whole(Bytes::new()));
        let mut skipped = 0;
        if self.plan.cgi_response {
            let head = cgi::parse(output).map_err(CallError::BadHead)?;
            *answer.status_mut() = head.status;
            *answer.headers_mut() = head.headers;
            skipped = head.length;
        }
        if !answer.headers().contains_key(header::CONTENT_TYPE) {
            let given = self.plan.content_type.as_ref().or(parts.headers.get(header::CONTENT_TYPE));
            let sniffed = || HeaderValue::from_static(sniff(output.get(skipped..).unwrap_or_default()));
            let content_type = given.cloned().unwrap_or_else(sniffed);
            answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        Ok((answer, skipped))
    }

    fn failed(&self, parts: &Parts, status: ExitStatus, took: Duration, output: &[u8]) -> Answer {
        let reason = describe(status);
        log_failure(self.log(), status, took);
        if self.plan.write_debug {
            log_output(output, &Origin::of_call("stdout", &parts.headers), self.log());
        }
        let mut body = BytesMut::with_capacity(reason.len() + 1 + output.len());
        body.extend_from_slice(reason.as_bytes());
        body.extend_from_slice(b"\n");
        body.extend_from_slice(output);
        let content_type = HeaderValue::from_static(sniff(&body));
        answer(StatusCode::INTERNAL_SERVER_ERROR, content_type, body.freeze())
    }

    pub(super) fn failure(&self, error: &CallError) -> Answer {
        self.log().say(&format!("Call failed: {error}"));
        match error {
            CallError::TimedOut => {
                refusal(StatusCode::REQUEST_TIMEOUT, "exec_timeout", Source::Classic, "Killed process.")
            }
            CallError::Body(error) => error.answer(Source::Classic),
            CallError::TooManyProcesses(_) => {
                let mut answer =
                    refusal(StatusCode::TOO_MANY_REQUESTS, "max_processes", Source::Middleware, format!("{error}\n"));
                insert(&mut answer, header::RETRY_AFTER, "1");
                answer
            }
            CallError::Start(error) => {
                let program = self.starter.program();
                let text = format!("exec: {program:?}: {error}\n");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "cannot_start", Source::Classic, text)
            }
            CallError::TooLarge | CallError::BadHead(_) => {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "bad_output", Source::Classic, format!("{error}\n"))
            }
            CallError::Gone | CallError::Io(_) => {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", Source::Classic, "lost the process\n")
            }
        }
    }
}

fn answer(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

fn with_duration(mut answer: Answer, took: Duration) -> Answer {
    add_duration(answer.headers_mut(), took);
    answer
}

fn log_success(log: &Log, bytes: u64, took: Duration) {
    log.say(&format!("Wrote {bytes} Bytes - Duration: {:.6}s", took.as_secs_f64()));
}

fn log_failure(log: &Log, status: ExitStatus, took: Duration) {
    log.say(&format!("Function failed: {} - Duration: {:.6}s", describe(status), took.as_secs_f64()));
}

/// In the words of Go's `ExitError`.
fn describe(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or(-1));
    };
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        _ => return format!("signal: {signal}"),
    };
    format!("signal: {name}{}", if status.core_dumped() { " (core dumped)" } else { "" })
}
