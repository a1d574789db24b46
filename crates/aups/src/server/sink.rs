//! The embedded broker as the NOS's sink, and as the sessions that an administrator ends.

use super::admin::Sessions;
use aups_broker::Broker;
use aups_core::Topic;
use aups_nos::{Outgoing, Qos, Receipt, Sink, SinkError};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::sync::Arc;

/// The broker in this process.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedBroker(pub(crate) Arc<Broker>);

impl Sink for EmbeddedBroker {
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let broker = Arc::clone(&self.0);
        let messages = batch.into_iter().map(in_its_words).collect();
        async move { Ok(broker.publish(messages).await.map(Ok).boxed()) }.boxed()
    }

    fn send(&self, message: Outgoing) -> BoxFuture<'static, ()> {
        let broker = Arc::clone(&self.0);
        async move { broker.send(in_its_words(message)).await }.boxed()
    }

    fn connected(&self) -> bool {
        true
    }

    fn retained(&self) -> BoxFuture<'static, Vec<(Topic, Bytes)>> {
        let broker = Arc::clone(&self.0);
        async move {
            let named = |(topic, payload): (String, Bytes)| topic.parse().ok().map(|topic| (topic, payload));
            broker.retained().await.into_iter().filter_map(named).collect()
        }
        .boxed()
    }
}

pub(super) fn in_its_words(message: Outgoing) -> aups_broker::Outgoing {
    let Outgoing { topic, payload, content_type, retain, qos } = message;
    let at_most_once = qos == Qos::AtMostOnce;
    aups_broker::Outgoing { topic: topic.as_str().to_owned(), payload, content_type, retain, at_most_once }
}

impl Sessions for EmbeddedBroker {
    fn end<'a>(&'a self, user: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let ended = self.0.kick(user).await;
            tracing::info!(sub = user, sessions = ended, "sessions ended");
        }
        .boxed()
    }

    fn review(&self) -> BoxFuture<'_, ()> {
        async move {
            let ended = self.0.review().await;
            if ended > 0 {
                tracing::info!(sessions = ended, "ended sessions with subscriptions that are no longer allowed");
            }
        }
        .boxed()
    }
}

/// Another broker: its sessions are its own; what a reader may no longer open, the keys decide.
#[derive(Debug)]
pub(crate) struct ForeignSessions;

impl Sessions for ForeignSessions {
    fn end<'a>(&'a self, _user: &'a str) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    fn review(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
