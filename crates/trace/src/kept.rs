//! What a span keeps until it is known whether it is sent.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use crate::{Context, Description, Finished, Kind, Parent, Value};

/// Children that a span keeps while it is not known whether they are to be sent; the last ones.
const MAX_HELD: usize = 8;
/// Room for attributes that is made at once; most spans have fewer.
const ATTRIBUTES: usize = 16;

type Describe = Box<dyn FnOnce(&mut Description) + Send>;

/// What is known from the beginning.
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) context: Context,
    pub(crate) parent: Option<Parent>,
    pub(crate) kind: Kind,
    pub(crate) started_at: SystemTime,
}

/// What is known of a span besides its place.
#[derive(Default)]
pub(crate) struct Telling {
    /// What is described already, because the span was shown before its end.
    described: Option<Box<Description>>,
    pub(crate) describe: Vec<Describe>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) telling: Telling,
    pub(crate) failed: bool,
    /// HTTP status of the answer, and the code of an error of skep.
    pub(crate) answer: Option<(u16, Option<Cow<'static, str>>)>,
    /// Children that have ended, while it is not known whether they are to be sent.
    pub(crate) held: Vec<Held>,
}

/// A span that has ended and is not described yet.
pub(crate) struct Held {
    pub(crate) data: Data,
    pub(crate) took: Duration,
    pub(crate) telling: Telling,
    pub(crate) answer: Option<(u16, Option<Cow<'static, str>>)>,
}

impl State {
    /// Keeps a child that has ended, and those that it has kept.
    pub(crate) fn hold(&mut self, (child, kept): (Held, Vec<Held>)) {
        if self.held.is_empty() {
            // Most have one child.
            self.held.reserve_exact(1 + kept.len());
        }
        self.held.extend(kept);
        self.held.push(child);
        let too_many = self.held.len().saturating_sub(MAX_HELD);
        self.held.drain(..too_many);
    }
}

impl Held {
    pub(crate) fn finish(self, is_tail: bool) -> Finished {
        let Self { data, took, telling, answer } = self;
        let mut description = telling.in_full();
        if let Some((status, code)) = answer {
            add_answer(&mut description, data.kind, status, code);
        }
        if is_tail {
            description.add_tail();
        }
        let Data { context, parent, kind, started_at } = data;
        Finished { context, parent, kind, started_at, took, is_tail, description }
    }
}

impl Telling {
    pub(crate) fn so_far(&mut self) -> &Description {
        let described = self.described.get_or_insert_default();
        for describe in self.describe.drain(..) {
            describe(described);
        }
        described
    }

    fn in_full(self) -> Description {
        let mut description = self.described.map(|described| *described).unwrap_or_default();
        description.attributes.reserve(ATTRIBUTES);
        for describe in self.describe {
            describe(&mut description);
        }
        description
    }
}

fn add_answer(description: &mut Description, kind: Kind, status: u16, code: Option<Cow<'static, str>>) {
    description.attributes.push(("http.response.status_code", Value::Integer(i64::from(status))));
    // To a server, only its own failures are errors.
    let worst = if kind == Kind::Client { 400 } else { 500 };
    if status < worst && code.is_none() {
        return;
    }
    let kind_of_error = code.unwrap_or_else(|| status.to_string().into());
    description.attributes.push(("error.type", Value::Text(kind_of_error.clone())));
    if status >= worst {
        description.error.get_or_insert(kind_of_error);
    }
}
