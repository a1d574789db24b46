//! The key service over MQTT: requests that readers publish on `aups/kr/<sub>`, answered on `aups/ks/<sub>`.
//!
//! The bytes are those of `POST /v1/keys`. What HTTP says in its head stands in the body: a refusal is the same problem with
//! `rh`, the hash of the request, and `retryAfter`. Answers leave at QoS 0: a reader whose window is full of messages that
//! wait for keys would never be sent one at QoS 1, and one that came back later would ask anew anyway.

use super::{KeyAnswer, KeyService, Origin, http::JOSE};
use crate::{
    Outgoing, Qos, Sink,
    problem::{PROBLEM_JSON, Refusal},
};
use aups_core::{
    Sub, Topic,
    topic::{KEY_ANSWERS, KEY_REQUESTS},
};
use aups_envelope::{b64, sha256};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use std::sync::Arc;
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

/// Most requests that wait to be answered; more are dropped, and asked again by their readers.
const WAITING_MAX: usize = 1_024;
/// Most requests that wait for the KTM or the ledger at once.
const ANSWERED_AT_ONCE_MAX: usize = 64;

/// A way from the broker to the key service: where requests go in, and where [`Nos::start`](crate::Nos::start) takes them.
pub fn key_request_queue() -> (KeyRequests, WaitingKeyRequests) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (KeyRequests(sender), WaitingKeyRequests(receiver))
}

/// Takes what readers publish on the topics of key requests.
#[derive(Debug, Clone)]
pub struct KeyRequests(mpsc::Sender<Waiting>);

/// Key requests that wait to be answered.
#[derive(Debug)]
pub struct WaitingKeyRequests(mpsc::Receiver<Waiting>);

#[derive(Debug)]
struct Waiting {
    /// Whose topic it came on.
    sub: Sub,
    payload: Bytes,
}

#[cfg(test)]
impl WaitingKeyRequests {
    pub(crate) async fn next(&mut self) -> (Sub, Bytes) {
        let Waiting { sub, payload } = self.0.recv().await.unwrap();
        (sub, payload)
    }
}

impl KeyRequests {
    /// Takes a message if its topic is one of key requests; at once, whatever becomes of it. Whether that is so.
    pub fn offer(&self, topic: &str, payload: Bytes) -> bool {
        let Some(sub) = topic.strip_prefix(KEY_REQUESTS) else { return false };
        if let Ok(sub) = sub.parse()
            && self.0.try_send(Waiting { sub, payload }).is_err()
        {
            metrics::counter!("aups_key_requests_dropped_total", "reason" => "full").increment(1);
        }
        true
    }
}

/// Answers requests for as long as they can come.
pub(crate) async fn answer_requests(service: Arc<KeyService>, requests: WaitingKeyRequests, sink: Arc<dyn Sink>) {
    let requests = stream::unfold(requests.0, |mut requests| async { Some((requests.recv().await?, requests)) });
    requests
        .for_each_concurrent(ANSWERED_AT_ONCE_MAX, |Waiting { sub, payload }| {
            let (service, sink) = (&service, &sink);
            async move {
                if let Some(answer) = service.answer_message(sub, &payload).await {
                    sink.send(answer).await;
                }
            }
        })
        .await;
}

impl KeyService {
    /// The message that answers a request; none where silence is the answer.
    async fn answer_message(&self, sub: Sub, request: &[u8]) -> Option<Outgoing> {
        let topic: Topic = format!("{KEY_ANSWERS}{sub}").parse().ok()?;
        // Whoever may publish on this topic, anybody on some brokers, uses up no more than this: answers cost the reader, too.
        if self.by_topic.take(sub.clone(), 1, Instant::now()).is_err() {
            metrics::counter!("aups_key_requests_dropped_total", "reason" => "rate").increment(1);
            return None;
        }
        let (payload, content_type) = match self.answer(request, &Origin::Mqtt(sub)).await {
            Ok(KeyAnswer { jws, .. }) => (jws.into(), JOSE),
            Err(refusal) if refusal.is_repetition() => {
                debug!(%topic, "a key request came twice");
                return None;
            }
            Err(refusal) => (refusal.into_message(request), PROBLEM_JSON),
        };
        Some(Outgoing { topic, payload, content_type, retain: false, qos: Qos::AtMostOnce })
    }
}

impl Refusal {
    /// A request that was answered before: its first answer is on its way, to the one who made it.
    fn is_repetition(&self) -> bool {
        self.status() == 409
    }

    /// The problem, with what HTTP would say outside of it.
    fn into_message(self, request: &[u8]) -> Bytes {
        let (problem, retry_after_s) = self.told();
        let problem = problem.with("rh", b64::encode(&sha256(&[request])));
        let problem = match retry_after_s {
            Some(seconds) => problem.with("retryAfter", seconds),
            None => problem,
        };
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests;
