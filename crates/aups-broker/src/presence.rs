//! What the broker notices of its clients: who comes, and what reaches them.

use crate::{barrier::Stir, flow::Flow, gate::Gate};
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, DynamicStorage,
    MessageDeliveredEvent, PublishAction, StorageBackend as _,
};
use std::{
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
pub(crate) struct Presence {
    pub(crate) flow: Arc<Flow>,
    gate: Arc<dyn Gate>,
    /// Both set before the first client is served.
    storage: OnceLock<Arc<DynamicStorage>>,
    stir: OnceLock<Stir>,
}

impl Presence {
    pub(crate) fn new(flow: Flow, gate: Arc<dyn Gate>) -> Self {
        Self { flow: Arc::new(flow), gate, storage: OnceLock::new(), stir: OnceLock::new() }
    }

    /// Names the storage; where messages are to survive, also who is to be told that they move.
    pub(crate) fn attend(&self, storage: Arc<DynamicStorage>, stir: Option<Stir>) {
        // Set once: a broker starts once.
        let _ = self.storage.set(storage);
        if let Some(stir) = stir {
            let _ = self.stir.set(stir);
        }
    }
}

impl BrokerEventHandler for Presence {
    /// Awaited by the connection before it is bound to its session.
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        metrics::counter!("aups_broker_connects_total").increment(1);
        if let Some(storage) = self.storage.get() {
            let queue = storage.queue_handle(&event.client_id);
            if let Some(stir) = self.stir.get()
                && event.session_expiry_interval > 0
            {
                queue.expect_bind(ALWAYS_QUEUE);
                stir.stir();
            }
            self.flow.connected(event.client_id, queue);
        }
        Box::pin(ready(()))
    }

    /// After the gate allowed it.
    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        let taken = self.gate.take(&event.topic, event.payload);
        Box::pin(ready(if taken { PublishAction::Handled } else { PublishAction::Continue }))
    }

    fn on_client_disconnect<'a>(
        &'a self,
        event: ClientDisconnectEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.flow.disconnected(&event.client_id);
        Box::pin(ready(()))
    }

    fn on_message_delivered<'a>(
        &'a self,
        event: MessageDeliveredEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.flow.acknowledged(&event.client_id);
        if let Some(stir) = self.stir.get() {
            stir.stir();
        }
        Box::pin(ready(()))
    }
}
