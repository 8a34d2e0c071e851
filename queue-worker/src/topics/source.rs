//! One source of messages as a queue-worker uses it.

use std::{fmt, sync::Arc};

use skep_bus::{FromSource, Login, ServerUrls, Source, TopicLink, TopicStream, Topics as BusTopics};
use skep_protocol::{SourceName, TopicStart};
use skep_sources::{CREDENTIALS, Defaults, Nats, Origin, Receiver};
use time::OffsetDateTime;
use tracing::warn;

use crate::Worker;

pub(crate) struct TopicSource {
    pub(super) name: SourceName,
    /// `None` if its declaration cannot be used.
    pub(super) receiver: Option<Receiver>,
    pub(super) is_paused: bool,
    /// What it listens to; `None` if it is no source of messages, or does not listen now.
    pub(super) listens: Option<Listens>,
}

/// What a source listens to. When this changes, it listens anew.
#[derive(Clone, PartialEq)]
pub(super) struct Listens {
    messages: Nats,
    /// When the source was made.
    made_at: OffsetDateTime,
    /// Its login, or why there is none.
    login: Result<Option<String>, String>,
}

/// Subjects, and where they are.
pub(super) struct Subjects {
    pub(super) subjects: Vec<String>,
    pub(super) link: TopicLink,
}

impl FromSource for TopicSource {
    type Context = Worker;

    fn from_source(source: &Source, worker: &Worker, _before: Option<&Self>) -> Self {
        let record = &source.record;
        let connection = &worker.bus.connection;
        let defaults =
            Defaults { prefix: connection.subject_prefix(), ..Defaults::new(connection.default_namespace()) };
        let receiver = Receiver::from_spec(record.name.clone(), &record.spec, &defaults);
        // What cannot be read may be a webhook that needs settings of the gateway, so others report it.
        let receiver = receiver.ok().filter(|receiver| receiver.kind().messages().is_some());
        let messages = receiver.as_ref().filter(|receiver| !receiver.source().disabled);
        let messages = messages.and_then(|receiver| receiver.kind().messages()).cloned();
        let listens = messages.map(|messages| Listens {
            login: login(source, &messages, worker),
            messages,
            made_at: record.created_at,
        });
        Self { name: record.name.clone(), receiver, is_paused: record.paused, listens }
    }
}

impl TopicSource {
    /// Whether the source listens to another stream now, or is another source; one that is disabled comes back to its own.
    pub(super) fn is_elsewhere(&self, before: &Listens) -> bool {
        let Some(now) = &self.listens else { return false };
        let is_same = |now: &Origin, before: &Origin| match (now, before) {
            (Origin::Stream { name: now, .. }, Origin::Stream { name: before, .. })
            | (Origin::Bucket { name: now, .. }, Origin::Bucket { name: before, .. }) => now == before,
            _ => false,
        };
        now.made_at != before.made_at
            || now.messages.url != before.messages.url
            || !is_same(&now.messages.from, &before.messages.from)
    }

    pub(super) fn is_on_server_of(&self, before: &Listens) -> bool {
        self.listens.as_ref().is_some_and(|now| now.messages.url == before.messages.url)
    }
}

impl Listens {
    /// The stream that it reads, or the subjects; neither if it cannot connect.
    pub(super) fn of(&self, source: &SourceName, topics: &BusTopics) -> (Option<Arc<TopicStream>>, Option<Subjects>) {
        let Ok(link) = self.link(topics) else { return (None, None) };
        let stream = |stream: &str, subjects: &[String], start: TopicStart, is_captured: bool| {
            let (stream, subjects) = (stream.to_owned(), subjects.to_vec());
            let (source, source_made) = (source.clone(), self.made_at);
            Some(Arc::new(TopicStream {
                source,
                source_made,
                link: link.clone(),
                stream,
                subjects,
                start,
                is_captured,
            }))
        };
        match &self.messages.from {
            Origin::Subjects(subjects) => (None, Some(Subjects { subjects: subjects.clone(), link })),
            Origin::Stream { name, subjects, start } => (stream(name, subjects, *start, false), None),
            Origin::Bucket { name, subjects, start } => (stream(&format!("KV_{name}"), subjects, *start, false), None),
            Origin::Captured(_) => (stream(&topics.captured(source), &[], TopicStart::All, true), None),
        }
    }

    pub(super) fn has_login(&self) -> bool {
        matches!(self.login, Ok(Some(_)))
    }

    /// Why it cannot connect.
    pub(super) fn problem(&self) -> String {
        self.servers().err().or_else(|| self.parsed_login().err()).unwrap_or_default()
    }

    fn link(&self, topics: &BusTopics) -> Result<TopicLink, String> {
        Ok(topics.link(self.servers()?, self.parsed_login()?))
    }

    fn servers(&self) -> Result<Option<ServerUrls>, String> {
        self.messages
            .url
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: skep_bus::ServerUrlsError| error.to_string())
    }

    fn parsed_login(&self) -> Result<Option<Login>, String> {
        let login = self.login.clone()?;
        login
            .map(|text| {
                Login::parse(&text).ok_or_else(|| {
                    "its credentials are neither the text of a credentials file nor one line USER:PASSWORD".to_owned()
                })
            })
            .transpose()
    }
}

/// Without what is secret.
impl fmt::Debug for Listens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Listens").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// The newest login of a source that counts.
fn login(source: &Source, messages: &Nats, worker: &Worker) -> Result<Option<String>, String> {
    let name = &source.record.name;
    let mut active = source.secrets.active(skep_bus::now());
    let Some(sealed) = active.find(|secret| secret.name.as_deref() == Some(CREDENTIALS)) else {
        return if messages.credentials.is_some() { Err("its credentials are not there".to_owned()) } else { Ok(None) };
    };
    let Some(key) = &worker.topics.seal_key else {
        return Err("this queue-worker cannot open its credentials: start it with --seal-key-file FILE".to_owned());
    };
    match key.open(name, sealed) {
        Ok(text) => Ok(Some(text.reveal().to_owned())),
        Err(error) => {
            warn!(source = %name, number = sealed.number, %error, "the credentials of a source cannot be opened");
            Err("its credentials cannot be opened with this queue-worker's seal key".to_owned())
        }
    }
}
