//! Names on the bus. Everything starts with one prefix, so several skeps can share a NATS server.

mod images;
mod sources;

use thiserror::Error;

use crate::{
    BodyKey, BodyKind, CallId, FunctionName,
    lane::{bulk_lane_of, lane_of},
};

/// Builds every subject, stream and bucket name from the prefix.
#[derive(Clone, Debug)]
pub struct Subjects {
    prefix: String,
}

#[derive(Debug, Error)]
#[error("subject prefix {0:?} is not valid: use 1 to 32 lower-case letters, digits, hyphens and underscores")]
pub struct PrefixError(String);

impl Default for Subjects {
    fn default() -> Self {
        Self { prefix: "skep".to_owned() }
    }
}

impl Subjects {
    pub fn new(prefix: &str) -> Result<Self, PrefixError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if prefix.is_empty() || prefix.len() > 32 || !prefix.chars().all(allowed) {
            return Err(PrefixError(prefix.to_owned()));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The first word of every subject.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a stream or bucket: `SKEP_INVOKE` for `INVOKE`.
    pub fn stream(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix.to_ascii_uppercase())
    }

    /// Where one accepted call is stored.
    pub fn invoke(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.invoke.{}.{}.{id}", self.prefix, lane_of(function), function.as_str())
    }

    /// Where one is stored while its function is called very often.
    pub fn invoke_in_bulk(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.invoke.{}.{}.{id}", self.prefix, bulk_lane_of(function), function.as_str())
    }

    /// All that the invocation stream stores.
    pub fn invoke_all(&self) -> String {
        format!("{}.invoke.*.*.*", self.prefix)
    }

    /// The accepted calls of one function, or of all.
    pub fn invoke_of(&self, function: Option<&FunctionName>) -> String {
        let function = function.map_or("*", FunctionName::as_str);
        format!("{}.invoke.*.{function}.*", self.prefix)
    }

    /// The accepted calls of one function in one lane.
    pub fn invoke_of_lane(&self, lane: u32, function: &FunctionName) -> String {
        format!("{}.invoke.{lane}.{}.*", self.prefix, function.as_str())
    }

    /// What one lane's consumer reads.
    pub fn invoke_lane(&self, lane: u32) -> String {
        format!("{}.invoke.{lane}.*.*", self.prefix)
    }

    /// Where an accepted call is found by its id alone.
    pub fn invoke_by_id(&self, id: &CallId) -> String {
        format!("{}.invoke.*.*.{id}", self.prefix)
    }

    /// Where a call waits that its function cannot take now.
    pub fn backlog(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.backlog.{}.{id}", self.prefix, function.as_str())
    }

    /// The calls that one function cannot take now.
    pub fn backlog_of(&self, function: &FunctionName) -> String {
        format!("{}.backlog.{}.*", self.prefix, function.as_str())
    }

    pub fn backlog_all(&self) -> String {
        format!("{}.backlog.*.*", self.prefix)
    }

    /// Where a call of a backlog is found by its id alone.
    pub fn backlog_by_id(&self, id: &CallId) -> String {
        format!("{}.backlog.*.{id}", self.prefix)
    }

    /// Where a call waits for its time.
    pub fn delayed(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.delayed.wait.{}.{id}", self.prefix, function.as_str())
    }

    /// Where the server puts a call whose time has come.
    pub fn due(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.delayed.due.{}.{id}", self.prefix, function.as_str())
    }

    pub fn due_all(&self) -> String {
        format!("{}.delayed.due.*.*", self.prefix)
    }

    pub fn delayed_all(&self) -> String {
        format!("{}.delayed.*.*.*", self.prefix)
    }

    /// Where a call of a function is, whether it waits or its time has come.
    pub fn delayed_or_due(&self, function: &FunctionName, id: &CallId) -> String {
        format!("{}.delayed.*.{}.{id}", self.prefix, function.as_str())
    }

    /// Where a delayed call is found by its id alone, waiting or due.
    pub fn delayed_by_id(&self, id: &CallId) -> String {
        format!("{}.delayed.*.*.{id}", self.prefix)
    }

    /// All calls of a function that wait for their time, or whose time has just come.
    pub fn delayed_or_due_of(&self, function: &FunctionName) -> String {
        format!("{}.delayed.*.{}.*", self.prefix, function.as_str())
    }

    /// The calls of one function, or of all, that wait for their time.
    pub fn delayed_of(&self, function: Option<&FunctionName>) -> String {
        let function = function.map_or("*", FunctionName::as_str);
        format!("{}.delayed.wait.{function}.*", self.prefix)
    }

    /// Where workers learn that a call was cancelled.
    pub fn cancel(&self, id: &CallId) -> String {
        format!("{}.cancel.{id}", self.prefix)
    }

    pub fn cancel_all(&self) -> String {
        format!("{}.cancel.*", self.prefix)
    }

    /// Where other services publish work: `skep.publish.<function>`.
    pub fn publish_all(&self) -> String {
        format!("{}.publish.*", self.prefix)
    }

    /// Where other services ask for a synchronous answer: `skep.call.<function>`.
    pub fn call_all(&self) -> String {
        format!("{}.call.*", self.prefix)
    }

    /// Where the record of a finished call is stored; one with a callback goes where the callback consumer reads.
    pub fn record(&self, id: &CallId, has_callback: bool) -> String {
        let kind = if has_callback { "callback" } else { "done" };
        format!("{}.calls.{kind}.{id}", self.prefix)
    }

    pub fn record_all(&self) -> String {
        format!("{}.calls.*.*", self.prefix)
    }

    pub fn record_by_id(&self, id: &CallId) -> String {
        format!("{}.calls.*.{id}", self.prefix)
    }

    /// What the callback consumer reads.
    pub fn record_callbacks(&self) -> String {
        format!("{}.calls.callback.*", self.prefix)
    }

    /// Where tries to deliver a call's callback are kept.
    pub fn callback_try(&self, id: &CallId) -> String {
        format!("{}.tries.{id}", self.prefix)
    }

    pub fn callback_try_all(&self) -> String {
        format!("{}.tries.*", self.prefix)
    }

    /// Where a call that could not be run is kept; the function is `NAME`, `NAME.NAMESPACE`, or a token that is no valid name.
    pub fn dead(&self, function: &str, id: &CallId) -> String {
        format!("{}.dead.{}.{id}", self.prefix, token(function))
    }

    /// Where a record is kept whose callback could not be delivered.
    pub fn dead_callback(&self, function: &str, id: &CallId) -> String {
        format!("{}.dead.{}.{id}.callback", self.prefix, token(function))
    }

    /// Dead letters of one function, or of all; of a function's callbacks, too.
    pub fn dead_of(&self, function: Option<&FunctionName>) -> String {
        let function = function.map_or("*", FunctionName::as_str);
        format!("{}.dead.{function}.>", self.prefix)
    }

    /// Where a call's dead letter is found by its id alone.
    pub fn dead_by_id(&self, id: &CallId) -> String {
        format!("{}.dead.*.{id}", self.prefix)
    }

    /// Where the dead letter of a call's callback is found by the call's id alone.
    pub fn dead_callback_by_id(&self, id: &CallId) -> String {
        format!("{}.dead.*.{id}.callback", self.prefix)
    }

    pub fn dead_all(&self) -> String {
        format!("{}.dead.>", self.prefix)
    }

    /// Where it is noted which calls were accepted.
    pub fn receipts(&self) -> String {
        format!("{}.ledger.receipts", self.prefix)
    }

    /// Where it is noted that records of a function are kept for less than the others.
    pub fn brief_records(&self) -> String {
        format!("{}.ledger.brief", self.prefix)
    }

    /// Where it is noted up to when records were removed before their time.
    pub fn removed_records(&self) -> String {
        format!("{}.ledger.removed", self.prefix)
    }

    pub fn ledger_all(&self) -> String {
        format!("{}.ledger.*", self.prefix)
    }

    /// Where it is kept who changed what.
    pub fn audit_log(&self) -> String {
        format!("{}.audit-log", self.prefix)
    }

    /// Where the pieces of a large body are kept.
    pub fn body(&self, key: &BodyKey) -> String {
        format!("{}.body.{key}", self.prefix)
    }

    /// Large bodies of one kind.
    pub fn body_all(&self, kind: BodyKind) -> String {
        format!("{}.body.{}.*.*", self.prefix, kind.as_str())
    }

    /// The body that a subject keeps pieces of.
    pub fn body_key(&self, subject: &str) -> Option<BodyKey> {
        subject.strip_prefix(&self.prefix)?.strip_prefix(".body.")?.parse().ok()
    }

    /// Where the worker that runs a call answers for it, while it runs.
    pub fn running(&self, id: &CallId) -> String {
        format!("{}.running.{id}", self.prefix)
    }

    pub fn running_all(&self) -> String {
        format!("{}.running.*", self.prefix)
    }

    /// Where the controller is asked to delete a large body.
    pub fn discard(&self) -> String {
        format!("{}.discard", self.prefix)
    }

    /// Where the controller answers an operation.
    pub fn control(&self, operation: &str) -> String {
        format!("{}.control.{operation}", self.prefix)
    }

    /// Where the controller publishes a function's log lines as they come.
    pub fn logs(&self, function: &FunctionName) -> String {
        format!("{}.logs.{}", self.prefix, function.as_str())
    }

    /// All log lines.
    pub fn logs_all(&self) -> String {
        format!("{}.logs.*", self.prefix)
    }

    /// Where queue-workers say that they are there.
    pub fn workers(&self) -> String {
        format!("{}.queue-workers", self.prefix)
    }

    /// Where queue-workers ask each other who holds a call.
    pub fn holders(&self) -> String {
        format!("{}.holders", self.prefix)
    }

    /// Where gateways and workers report which functions are in use, and how much.
    pub fn activity(&self) -> String {
        format!("{}.activity", self.prefix)
    }

    /// Where gateways and workers say how calls of versions on trial have ended.
    pub fn trials(&self) -> String {
        format!("{}.trials", self.prefix)
    }

    /// Where the controller publishes what follows from these reports.
    pub fn stats(&self) -> String {
        format!("{}.stats", self.prefix)
    }

    /// The name of the controller's micro service.
    pub fn controller(&self) -> String {
        format!("{}-controller", self.prefix)
    }
}

/// A function as people write it, as the one token that [`FunctionName::as_str`] is.
fn token(function: &str) -> String {
    function.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_part_of_the_functions_token() {
        let (subjects, id) = (Subjects::default(), "1".parse().unwrap());
        let function: FunctionName = "a_dev".parse().unwrap();
        assert_eq!(subjects.dead(&function.to_string(), &id), "skep.dead.a_dev.1");
        assert_eq!(subjects.logs(&function), "skep.logs.a_dev");
        assert!(subjects.invoke(&function, &id).ends_with(".a_dev.1"));
    }

    #[test]
    fn prefixes_are_single_tokens() {
        assert!(Subjects::new("skep-2").is_ok());
        for bad in ["", "a.b", "*", "A", "a b"] {
            assert!(Subjects::new(bad).is_err(), "{bad}");
        }
    }
}
