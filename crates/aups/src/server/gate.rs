//! The PEP at the embedded broker: who connects, what a reader subscribes to, what it may publish (DESIGN section 9).

use aups_broker::{Connect, Gate, Refusal, Verdict};
use aups_core::{Filter, Sub, topic::KEY_REQUESTS};
use aups_nos::{KeyRequests, Readers};
use aups_policy::{FilterVerdict, Pdp};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// Readers with their MQTT passwords.
pub(crate) trait Credentials: Readers {
    /// Whether this is the MQTT password of this reader.
    fn password_matches(&self, sub: &Sub, password: &[u8]) -> bool;
}

/// Registered readers only, each with its password and its rights.
pub(crate) struct RealmGate {
    pub(crate) readers: Arc<dyn Credentials>,
    pub(crate) decisions: watch::Receiver<Arc<Pdp>>,
    pub(crate) key_requests: KeyRequests,
}

impl Gate for RealmGate {
    fn connect(&self, connect: &Connect<'_>) -> Result<(), Refusal> {
        let (Some(user), Some(password)) = (connect.user, connect.password) else {
            return Err(Refusal::Anonymous);
        };
        match user.parse::<Sub>() {
            Ok(sub) if self.readers.password_matches(&sub, password) => Ok(()),
            _ => Err(Refusal::BadCredentials),
        }
    }

    fn subscribe(&self, user: &str, filter: &str) -> Verdict {
        let reader = user.parse::<Sub>().ok().and_then(|sub| self.readers.reader(&sub));
        let (Some(reader), Ok(filter)) = (reader, filter.parse::<Filter>()) else { return Verdict::Deny };
        let pdp = Arc::clone(&self.decisions.borrow());
        match pdp.filter(&reader.principal, &filter) {
            FilterVerdict::Accepted { .. } => Verdict::Allow,
            FilterVerdict::Refused { reason } => {
                tracing::info!(sub = user, filter = filter.as_str(), reason, "subscription refused");
                Verdict::Deny
            }
        }
    }

    /// A reader publishes on its own key-request topic and nowhere else.
    fn publish(&self, user: &str, topic: &str) -> Verdict {
        if topic.strip_prefix(KEY_REQUESTS) == Some(user) { Verdict::Allow } else { Verdict::Deny }
    }

    fn take(&self, topic: &str, payload: Bytes) -> bool {
        self.key_requests.offer(topic, payload)
    }
}
