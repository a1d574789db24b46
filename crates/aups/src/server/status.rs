//! Whether this NOS is there, said at the embedded broker in place of a last will: that broker ends with it.

use super::sink::in_its_words;
use aups_broker::Broker;
use aups_core::NosId;
use aups_nos::{ConfigInForce, Outgoing, config::Will};
use std::{future::pending, sync::Arc};

/// Says what the configuration wants to be said.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) broker: Arc<Broker>,
    pub(super) nos: NosId,
    pub(super) config: ConfigInForce,
}

impl Status {
    /// Says `online`, again when the configuration wants it said otherwise, until it is dropped.
    pub(super) async fn keep(mut self) {
        let mut said: Option<Will> = None;
        loop {
            let will = self.config.borrow_and_update().config.will.clone();
            if will != said {
                let cleared = said.and_then(|will| will.cleared(&self.nos));
                let online = will.as_ref().and_then(|will| will.online(&self.nos));
                publish(&self.broker, cleared.into_iter().chain(online)).await;
                said = will;
            }
            if self.config.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Says `offline`.
    pub(super) async fn end(&self) {
        let will = self.config.borrow().config.will.clone();
        publish(&self.broker, will.and_then(|will| will.offline(&self.nos))).await;
    }
}

async fn publish(broker: &Broker, messages: impl IntoIterator<Item = Outgoing>) {
    let messages: Vec<_> = messages.into_iter().map(in_its_words).collect();
    if !messages.is_empty() {
        // Whether a kill could still lose it does not matter: the next start says it again.
        drop(broker.publish(messages).await);
    }
}
