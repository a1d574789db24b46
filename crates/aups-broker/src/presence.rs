//! What the broker notices of its clients: who comes, and what reaches them.

use crate::barrier::Stir;
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, DynamicStorage, MessageDeliveredEvent, StorageBackend as _,
};
use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, OnceLock},
};

/// The generation of a connection that never comes.
///
/// The crate hands a message straight to a connection, past the queue of its session, unless it waits for a connection to be
/// bound; on that way the message is on no disk, for as long as the client is slow. A queue that waits for this
/// connection is never passed by: what a session is to get is in its queue first, and the file of the queue is written
/// unless the client acknowledges sooner.
const ALWAYS_QUEUE: u64 = u64::MAX;

/// The ears of the broker.
#[derive(Default)]
pub(crate) struct Presence {
    /// Set when messages are to survive, before the first client is served.
    durable: OnceLock<Durable>,
}

struct Durable {
    storage: Arc<DynamicStorage>,
    stir: Stir,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("durable", &self.durable.get().is_some()).finish()
    }
}

impl Presence {
    /// From now on sessions that outlive their connections are served from their queues.
    pub(crate) fn keep_queues(&self, storage: Arc<DynamicStorage>, stir: Stir) {
        // Set once: a broker starts once.
        let _ = self.durable.set(Durable { storage, stir });
    }
}

impl BrokerEventHandler for Presence {
    /// Awaited by the connection before it is bound to its session.
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        metrics::counter!("aups_broker_connects_total").increment(1);
        if let Some(Durable { storage, stir }) = self.durable.get()
            && event.session_expiry_interval > 0
        {
            storage.queue_handle(&event.client_id).expect_bind(ALWAYS_QUEUE);
            stir.stir();
        }
        Box::pin(ready(()))
    }

    fn on_message_delivered<'a>(
        &'a self,
        _event: MessageDeliveredEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if let Some(Durable { stir, .. }) = self.durable.get() {
            stir.stir();
        }
        Box::pin(ready(()))
    }
}
