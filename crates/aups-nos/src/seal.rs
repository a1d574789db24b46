//! Sealing: a permitted item becomes a message of this NOS's session.

use crate::{
    pep::{NotPermitted, Permitted, Withheld, not_permitted},
    usage::Usage,
};
use aups_core::{Bump, Clock, Epoch, NosId, PublisherSlot, ScopeId, ScopeSpec, Session, UnixMillis};
use aups_envelope::{ContentType, Plaintext, SealError, SealingKey, SigningKey, Spelling, hash};
use aups_ktm::{KeysTopicsManager, KtmError};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};
use tracing::info;

/// How items are spelt on the wire: the paper's form, which any MQTT client can show.
const SPELLING: Spelling = Spelling::Json;
/// What goes with it as the MQTT 5 content type.
pub(crate) const CONTENT_TYPE: &str = SPELLING.mqtt_content_type();

/// Seals for one NOS.
///
/// A session is one incarnation; its counters start at 0 and live as long as it. A new one begins before a counter would
/// wrap, when there are too many counters, and whenever a key would come back that this session has let go: its counter
/// must not start again.
pub(crate) struct Sealer {
    nos: NosId,
    ktm: Arc<dyn KeysTopicsManager>,
    clock: Arc<dyn Clock>,
    signing_key: Arc<SigningKey>,
    usage: Arc<Usage>,
    counters_max: usize,
    publisher: PublisherSlot,
    session: Session,
    scopes: HashMap<ScopeId, ScopeState>,
    counters: usize,
    batch: u64,
}

/// What a session knows of a scope.
#[derive(Default)]
struct ScopeState {
    key: Option<SealingKey>,
    /// The newest key that this session has sealed with: keys follow one another in this order.
    newest: Option<(Bump, Epoch)>,
    /// The batch for which the KTM was last asked.
    asked: u64,
    /// The next topic seq of each topic.
    topics: HashMap<Box<str>, u32>,
}

impl Sealer {
    /// Begins a session.
    pub(crate) async fn begin(
        nos: NosId,
        ktm: Arc<dyn KeysTopicsManager>,
        clock: Arc<dyn Clock>,
        signing_key: Arc<SigningKey>,
        usage: Arc<Usage>,
        counters_max: usize,
    ) -> Result<Self, KtmError> {
        let (publisher, session) = begin_session(&nos, &*ktm, &signing_key).await?;
        Ok(Self {
            nos,
            ktm,
            clock,
            signing_key,
            usage,
            counters_max: counters_max.max(1),
            publisher,
            session,
            scopes: HashMap::new(),
            counters: 0,
            batch: 1,
        })
    }

    /// From now on the KTM is asked again for each scope, so that a bump shows with the next batch.
    pub(crate) fn begin_batch(&mut self) {
        self.batch += 1;
        if self.batch.is_multiple_of(1_024) {
            self.drop_expired_keys();
        }
    }

    /// Seals. About 1 µs, 8 µs more with a signature; asks the KTM once per batch and scope.
    pub(crate) async fn seal(&mut self, permitted: &Permitted<'_>) -> Result<Bytes, NotPermitted> {
        let scope = permitted.scope();
        // Again after an expiry that fell between asking and sealing, and again in a new session.
        for _ in 0..4 {
            if !self.has_counter(permitted) || !self.has_key(scope).await? {
                self.renew_session().await?;
                continue;
            }
            match self.seal_now(permitted) {
                Ok(message) => return Ok(message.into()),
                Err(SealError::OutsideValidity { .. }) => self.ask_again(scope),
                Err(SealError::Exhausted) => self.renew_session().await?,
                Err(error) => return Err(NotPermitted::Withheld(Withheld::Unsealable(error.to_string()))),
            }
        }
        Err(NotPermitted::Ktm(KtmError::Clock))
    }

    /// Whether this session can still count the topic; gives it a counter if it has none.
    fn has_counter(&mut self, permitted: &Permitted<'_>) -> bool {
        let (entry, scope) = (permitted.entry(), permitted.scope().id);
        let topics = &mut self.scopes.entry(scope).or_default().topics;
        match topics.get(entry.topic.as_str()) {
            Some(next) => *next < u32::MAX,
            None if self.counters >= self.counters_max => false,
            None => {
                topics.insert(entry.topic.as_str().into(), 0);
                self.counters += 1;
                self.usage.note(&entry.topic, Some(scope), entry.item.source.registered);
                true
            }
        }
    }

    /// Whether this session may seal with the KTM's key of now; takes it up if it is new.
    async fn has_key(&mut self, scope: &ScopeSpec) -> Result<bool, NotPermitted> {
        let state = self.scopes.entry(scope.id).or_default();
        if state.asked == self.batch && state.key.is_some() {
            return Ok(true);
        }
        let entry = self.ktm.sealing_keys(&scope.id).await.map_err(not_permitted)?.current;
        state.asked = self.batch;
        if state.key.as_ref().is_some_and(|key| key.key_id() == entry.key_id) {
            return Ok(true);
        }
        let order = (entry.terms.bump, entry.terms.epoch);
        if state.newest.is_some_and(|newest| newest >= order) {
            info!(%scope.id, "a key came back: the clock was set back, or the scope is a new one");
            return Ok(false);
        }
        state.key = Some(SealingKey::new(&entry, self.publisher, self.session));
        state.newest = Some(order);
        Ok(true)
    }

    fn seal_now(&mut self, permitted: &Permitted<'_>) -> Result<Vec<u8>, SealError> {
        let (entry, scope, ts) = (permitted.entry(), permitted.scope(), self.clock.now());
        let topic = entry.topic.as_str();
        let outside = || SealError::OutsideValidity { ts, nbf: UnixMillis(0), exp: UnixMillis(0) };
        let state = self.scopes.get_mut(&scope.id).ok_or_else(outside)?;
        let next = state.topics.get_mut(topic).ok_or_else(outside)?;
        let plaintext = Plaintext {
            topic,
            topic_seq: *next,
            ts,
            content: ContentType::Json,
            bytes: &entry.json,
            pad_bytes: scope.obligations.pad_bytes,
        };
        let message = state.key.as_ref().ok_or_else(outside)?.seal(&plaintext, Some(&self.signing_key), SPELLING)?;
        *next += 1;
        Ok(message)
    }

    fn ask_again(&mut self, scope: &ScopeSpec) {
        if let Some(state) = self.scopes.get_mut(&scope.id) {
            state.asked = 0;
        }
    }

    async fn renew_session(&mut self) -> Result<(), NotPermitted> {
        (self.publisher, self.session) =
            begin_session(&self.nos, &*self.ktm, &self.signing_key).await.map_err(NotPermitted::Ktm)?;
        self.scopes.clear();
        self.counters = 0;
        Ok(())
    }

    fn drop_expired_keys(&mut self) {
        let now = self.clock.now();
        for state in self.scopes.values_mut() {
            state.key = state.key.take().filter(|key| now < key.terms().exp);
        }
    }
}

async fn begin_session(
    nos: &NosId,
    ktm: &dyn KeysTopicsManager,
    signing_key: &SigningKey,
) -> Result<(PublisherSlot, Session), KtmError> {
    let begun = ktm.begin_incarnation(nos, signing_key.public()).await?;
    Ok((begun.publisher, Session::new(begun.incarnation, u32::from_be_bytes(hash::random()))))
}

#[cfg(test)]
mod tests;
