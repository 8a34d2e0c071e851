//! The event bus: everything that skep keeps or says lives on NATS JetStream, and only this crate knows how.
//!
//! It offers what the programs need as small handles named by the domain, and hides streams, consumers and headers.
//! `handles` lists them, and which of them each role gets; the directories have what the handles do: `calls` and `queue` the life of a call, `streams` what is kept and for how long.
//! It does not know how a function is reached, what runs it, or what an HTTP caller sees.

mod audit;
mod backup;
mod bodies;
mod broadcast;
mod calls;
mod client;
mod control;
mod dead_letters;
mod error;
mod events;
mod fit;
mod handles;
mod images;
mod inbound;
mod permissions;
mod publish;
mod queue;
mod registry;
mod sources;
mod streams;
mod topics;
mod trace;
mod wire;

/// The headers of a NATS message, as they came.
pub use async_nats::HeaderMap as NatsHeaders;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use wire::laws as headers_on_the_wire;

pub use audit::MIN_LEFTOVER_AGE;
pub use audit::log::{AuditLogFilter, AuditLogPage, warn_of_lost_entry};
pub use backup::{BackupError, BackupPart, BackupReader, BackupWriter, OPERATOR, Operator, operator_permissions};
pub use bodies::NotKept;
pub use broadcast::workers::{CallsOfWorker, HoldersAnswers, HoldersQuestion};
pub use calls::cancel::Cancelled;
pub use calls::list::{CallFilter, Page, Position};
pub use calls::plan::PlannedCalls;
pub use calls::submit::Submitted;
pub use client::clock::{ahead as server_clock_ahead, now};
pub use client::connect::{BusConfig, OLDEST_SERVER};
pub use client::connection::Connection;
pub use client::measure::{Measured, Way};
pub use client::monitor::Monitors;
pub use client::patience::patiently;
pub use client::servers::{Login, LoginError, ServerUrls, ServerUrlsError};
pub use client::system_account::SystemAccount;
pub use control::{ControlCall, ControlServer};
pub use dead_letters::count::DeadCounts;
pub use dead_letters::list::{DeadLetter, DeadLetterFilter};
pub use dead_letters::redrive::{Edit, Redriven};
pub use dead_letters::store::{KEPT_OF_ANSWER, NewDeadLetter};
pub use error::{Error, Result};
pub use events::debounce::{Debounced, EndOfBurst};
pub use events::held::{HeldId, HeldKind, HeldRequest};
pub use events::list::{EventFilter, EventPage, StoredEvent};
pub use events::samples::Sample;
pub use handles::{
    Activity, Audit, AuditLog, Bodies, Bus, Calls, Control, ControllerBus, DeadLetters, DispatchBus, Events,
    GatewayBus, Housekeeping, Images, Inbound, Leadership, Logs, Namespaces, Outcomes, ProviderBus, QueueDepth,
    QueueWorkerBus, Queues, Registry, Requests, Sources, Stats, Topics, Versions, Workers,
};
pub use images::Swept;
pub use inbound::published::Published;
pub use inbound::requests::{CallRequest, CallRequests};
pub use inbound::unreadable::UnreadablePublish;
pub use permissions::{Permissions, Role, device_permissions};
pub use publish::answer::Announced;
pub use queue::backlog::Backlog;
pub use queue::delivery::{Delivery, Place};
pub use queue::depth::{Queued, Waits};
pub use queue::overdue::DelayedCalls;
pub use queue::relocate::{Location, Moved, Why};
pub use queue::upcoming::UpcomingCall;
pub use queue::{Queue, life};
pub use registry::RegistryEvent;
pub use registry::leadership::Lease;
pub use sources::{FromSource, Source, SourceEvent, SourcesView};
pub use streams::fullness::Fullness;
pub use streams::usage::{DeadLetterCounts, WaitingCallbacks};
pub use streams::{Budget, Kept};
pub use topics::{
    ReadPlace, Reply, TopicLink, TopicMessage, TopicProgress, TopicStream, TopicSubscription, UnreadableMessage,
};
pub use trace::{describe_process, describe_publish};
pub use wire::is_of_own_event;
