//! From what became of a process to the answer.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use crate::{
    answer::{Answer, AnswerBody, Source, refusal},
    deadline::add_duration,
    fork::{
        Fork,
        content_type::sniff,
        conversation::{CallError, Finished},
    },
    lines::{Origin, log_output},
};

impl Fork {
    pub(super) fn answer(&self, parts: &Parts, begun: Instant, result: Result<Finished, CallError>) -> Answer {
        let took = begun.elapsed();
        let finished = match result {
            Ok(finished) => finished,
            Err(error) => return self.failure(&error),
        };
        let answer = if finished.status.success() {
            self.success(parts, took, finished.output.freeze())
        } else {
            self.failed(parts, finished.status, took, &finished.output)
        };
        with_duration(answer, took)
    }

    fn success(&self, parts: &Parts, took: Duration, output: Bytes) -> Answer {
        if self.plan.write_debug {
            log_output(&output, &Origin::of_call("stdout", &parts.headers), self.processes.log());
        } else {
            self.processes.log().say(&format!("Wrote {} Bytes - Duration: {:.6}s", output.len(), took.as_secs_f64()));
        }
        let given = self.plan.content_type.as_ref().or(parts.headers.get(header::CONTENT_TYPE));
        let content_type = given.cloned().unwrap_or_else(|| HeaderValue::from_static(sniff(&output)));
        answer(StatusCode::OK, content_type, output)
    }

    fn failed(&self, parts: &Parts, status: ExitStatus, took: Duration, output: &[u8]) -> Answer {
        let reason = describe(status);
        self.processes.log().say(&format!("Function failed: {reason} - Duration: {:.6}s", took.as_secs_f64()));
        if self.plan.write_debug {
            log_output(output, &Origin::of_call("stdout", &parts.headers), self.processes.log());
        }
        let mut body = BytesMut::with_capacity(reason.len() + 1 + output.len());
        body.extend_from_slice(reason.as_bytes());
        body.extend_from_slice(b"\n");
        body.extend_from_slice(output);
        let content_type = HeaderValue::from_static(sniff(&body));
        answer(StatusCode::INTERNAL_SERVER_ERROR, content_type, body.freeze())
    }

    fn failure(&self, error: &CallError) -> Answer {
        self.processes.log().say(&format!("Call failed: {error}"));
        match error {
            CallError::TimedOut => {
                refusal(StatusCode::REQUEST_TIMEOUT, "exec_timeout", Source::Classic, "Killed process.")
            }
            CallError::Body(reason) => {
                refusal(StatusCode::BAD_REQUEST, "bad_body", Source::Classic, format!("{reason}\n"))
            }
            CallError::Start(error) => {
                let program = self.command.first().map_or("", String::as_str);
                let text = format!("exec: {program:?}: {error}\n");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "cannot_start", Source::Classic, text)
            }
            CallError::Io(_) => {
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

/// As Go's `ExitError` says it.
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
