//! Topics of sources: messages of other services that become events, from subjects or from streams.
//!
//! Their senders are strangers to skep, so each source has a connection of its own for them.

mod capture;
mod left;
mod link;
mod message;
mod state;
mod stream;
mod subscription;
mod unreadable;

pub(crate) use self::stream::TopicSource;
pub use self::{
    left::ReadPlace,
    link::TopicLink,
    message::TopicMessage,
    stream::{TopicProgress, TopicStream},
    subscription::{Reply, TopicSubscription},
    unreadable::UnreadableMessage,
};
