//! Whether a message that arrived is taken, and as what: the acceptance rules of a reader, without I/O and clock.
//!
//! A message is taken only if all of this holds, checked in this order:
//!
//! 1. it has the form of a sealed message;
//! 2. its key is held;
//! 3. the header's suite is the key's and every flag that the key demands is set;
//! 4. now ≤ `dec`;
//! 5. `ts` is in [`nbf` − 30 s, `exp` + 30 s];
//! 6. its publisher is listed, with a certificate that holds now, and was not withdrawn;
//! 7. tag, signature (under the certified key of that slot) and padding are right;
//! 8. where a higher bump of the same scope is held, `ts` < its `from` + 30 s;
//! 9. a JSON plaintext has an `id`;
//! 10. its topic seq was not seen before and is not below the window, and its item id was not seen before;
//! 11. retained: no other retained message of the topic came in this subscription, and none newer was taken.
//!
//! Nothing is remembered of a message that fails 1 to 9. One that fails 10 by its item id alone is remembered as seen, so
//! that it makes no gap.

mod memory;
mod recent;
mod ring;
mod window;

use crate::{
    jws::object_from_slice,
    key::KeyEntry,
    message::{ContentType, FormatError, Header, SealedMessage},
    open::{OpenError, OpeningKey, check_terms},
    sign::VerifyingKey,
    subkey::TopicTooLong,
};
use aups_core::{
    ItemId, KeyId, PublisherSlot, ScopeTag, Session, UnixMillis,
    limits::{FRESH_AGE_DEFAULT, ITEM_IDS_REMEMBERED, SKEW_MAX},
};
use recent::Recent;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use thiserror::Error;
use window::{Place, Window};

pub use memory::{Memory, Taken, TopicItems, WindowMemory};
pub use ring::{KEYS_MAX, KeyRing, PUBLISHERS_MAX};

/// How much an [`Acceptance`] remembers, and what is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptanceLimits {
    /// A fresh message was sealed at most so long ago (or ahead).
    pub max_age: Duration,
    /// Most windows, of about 200 bytes each: one per publisher, session, scope and topic. Beyond it the longest unused go,
    /// and with them the memory of what came.
    pub windows_max: usize,
    /// Most topics whose item ids are remembered, of up to 16 KiB each. Beyond it the longest unused go.
    pub topics_max: usize,
    /// Most subkeys that stay derived, of about 1 KiB each.
    pub opening_keys_max: usize,
}

impl Default for AcceptanceLimits {
    fn default() -> Self {
        Self { max_age: FRESH_AGE_DEFAULT, windows_max: 65_536, topics_max: 16_384, opening_keys_max: 4_096 }
    }
}

/// A message as the broker delivered it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The topic name.
    pub topic: &'a str,
    /// The payload, in either spelling.
    pub payload: &'a [u8],
    /// The MQTT retain flag, which nobody authenticates.
    pub retain: bool,
    /// Now.
    pub now: UnixMillis,
}

/// A message that was taken.
#[derive(Debug)]
pub struct Accepted {
    /// What was sealed.
    pub plaintext: Vec<u8>,
    /// How current it is.
    pub outcome: Outcome,
    /// Whether messages before it did not come.
    pub gap: Option<Gap>,
    /// The header, authenticated.
    pub header: Header,
    /// The id of the item, where it is JSON.
    pub item: Option<ItemId>,
}

impl Accepted {
    /// What is to be remembered of it.
    pub fn memory(&self, topic: &str) -> Memory {
        let Header { publisher, session, key_id, topic_seq, ts, .. } = self.header;
        let scope = key_id.scope_tag();
        Memory::Taken(Taken { topic: topic.into(), publisher, session, scope, topic_seq, ts, item: self.item })
    }
}

/// How current a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Sealed at most `max_age` ago, in order, by the newest incarnation of its publisher.
    Fresh,
    /// Valid, but old, out of order, or by an incarnation below the highest seen.
    Late,
    /// What the broker kept: the newest of its topic that is known, of whatever age.
    Retained,
}

/// The topic seq jumped: so many messages were withheld or lost, or are yet to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub missed: u32,
}

/// Why a message is not taken. One variant per reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Not a sealed message.
    #[error("not a sealed message")]
    Format(#[from] FormatError),
    /// Its key is not held: ask for it, and try again.
    #[error("key {0} is not held")]
    UnknownKey(KeyId),
    /// The header names another suite than its key.
    #[error("sealed with another suite than its key is for")]
    SuiteMismatch,
    /// The key demands a signature or padding that the message does not have.
    #[error("not signed or padded as its key demands")]
    FlagMissing,
    /// Nobody opens under its key any more, since then.
    #[error("its key opens nothing since {0}")]
    TooOld(UnixMillis),
    /// Sealed, it says, more than 30 s outside of its key's validity.
    #[error("its time {ts} is outside of its key's validity, {nbf} to {exp}")]
    OutsideValidity {
        /// When it was sealed, it says.
        ts: UnixMillis,
        /// When its key begins.
        nbf: UnixMillis,
        /// When its key ends.
        exp: UnixMillis,
    },
    /// Its publisher is not listed, or the certificate has expired: ask for keys once more, and try again.
    #[error("publisher {0:?} is not listed")]
    UnknownPublisher(PublisherSlot),
    /// Its publisher was listed and is not any more.
    #[error("publisher {0:?} was withdrawn")]
    Withdrawn(PublisherSlot),
    /// It came on a topic that is longer than a topic may be.
    #[error(transparent)]
    TopicTooLong(#[from] TopicTooLong),
    /// Message or topic were changed.
    #[error("its tag does not verify: it was changed, or moved to another topic")]
    BadTag,
    /// Not signed by the publisher that the header names.
    #[error("its signature does not verify")]
    BadSignature,
    /// Padded by other rules than ours.
    #[error("its padding is not right")]
    BadPadding,
    /// Sealed under a key after that key was revoked, at that time.
    #[error("its key was revoked at {0}, before it was sealed")]
    Superseded(UnixMillis),
    /// A JSON plaintext that is no object with an `id`: its publisher is at fault.
    #[error("its content is not an item with an id")]
    BadItem,
    /// It came before, or its item did.
    #[error("it came before")]
    Duplicate,
    /// Its topic seq is below the window: nobody can tell any more whether it came before.
    #[error("it is too far out of order")]
    Stale,
    /// A second retained message of the topic in this subscription.
    #[error("a retained message came on this topic before")]
    RetainedAgain,
    /// A retained message that is not newer than what was taken.
    #[error("retained, and not newer than what came on this topic before")]
    RetainedNotNewer,
}

impl From<OpenError> for Rejection {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::SuiteMismatch { .. } => Self::SuiteMismatch,
            OpenError::FlagMissing => Self::FlagMissing,
            OpenError::TopicTooLong(error) => Self::TopicTooLong(error),
            OpenError::BadSignature(_) | OpenError::SignerUnknown => Self::BadSignature,
            OpenError::BadPadding => Self::BadPadding,
            OpenError::BadTag | OpenError::OtherKey => Self::BadTag,
        }
    }
}

/// What a reader remembers of what came.
#[derive(Debug)]
pub struct Acceptance {
    max_age: Duration,
    opening_keys: Recent<(KeyId, PublisherSlot, Session), OpeningKey>,
    windows: Recent<Stream, Window>,
    topics: Recent<Box<str>, TopicMemory>,
    topics_named: u64,
    incarnations: BTreeMap<PublisherSlot, u32>,
    subscription: u64,
}

/// What counts its messages by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stream {
    publisher: PublisherSlot,
    session: Session,
    scope: ScopeTag,
    topic: TopicNumber,
}

/// Stands for a topic name, never for two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TopicNumber(u64);

#[derive(Debug)]
struct TopicMemory {
    number: TopicNumber,
    items: ItemIds,
    newest: Option<UnixMillis>,
    /// The subscription in which a retained message came.
    retained_in: Option<u64>,
}

impl Acceptance {
    /// Remembers nothing yet.
    pub fn new(limits: AcceptanceLimits) -> Self {
        Self {
            max_age: limits.max_age,
            opening_keys: Recent::new(limits.opening_keys_max),
            windows: Recent::new(limits.windows_max),
            topics: Recent::new(limits.topics_max),
            topics_named: 0,
            incarnations: BTreeMap::new(),
            subscription: 0,
        }
    }

    /// A subscription begins (again): the broker will send what it retained, once per topic.
    pub fn begin_subscription(&mut self) {
        self.subscription += 1;
    }

    /// Takes a message, or says why not. The rules and their order: see the [module](self).
    pub fn accept(&mut self, arrival: &Arrival<'_>, ring: &KeyRing) -> Result<Accepted, Rejection> {
        let message = SealedMessage::parse(arrival.payload)?;
        let header = *message.header();
        let entry = ring.get(&header.key_id).ok_or(Rejection::UnknownKey(header.key_id))?;
        check_key(&header, entry, arrival.now)?;
        let signer = ring.publisher(header.publisher, arrival.now)?;
        let plaintext = self.open(arrival.topic, &message, entry, signer)?;
        if let Some(from) = ring.superseded(&header) {
            return Err(Rejection::Superseded(from));
        }
        let item = item_id(header.content, &plaintext)?;
        let (outcome, gap) = self.admit(arrival, &header, item)?;
        Ok(Accepted { plaintext, outcome, gap, header, item })
    }

    /// Opens with a subkey that is derived once. Only messages that open have their subkey remembered: what was made up
    /// pushes nothing out.
    fn open(
        &mut self,
        topic: &str,
        message: &SealedMessage<'_>,
        entry: &KeyEntry,
        signer: &VerifyingKey,
    ) -> Result<Vec<u8>, OpenError> {
        let Header { key_id, publisher, session, .. } = *message.header();
        if let Some(key) = self.opening_keys.get_mut(&(key_id, publisher, session)) {
            return key.open(topic, message, Some(signer));
        }
        let key = OpeningKey::new(entry, publisher, session);
        let plaintext = key.open(topic, message, Some(signer))?;
        self.opening_keys.insert((key_id, publisher, session), key);
        Ok(plaintext)
    }

    /// Compares a message that was verified with what came before, and remembers it.
    fn admit(
        &mut self,
        arrival: &Arrival<'_>,
        header: &Header,
        item: Option<ItemId>,
    ) -> Result<(Outcome, Option<Gap>), Rejection> {
        let Header { publisher, session, ts, topic_seq, .. } = *header;
        let subscription = self.subscription;
        let topics_named = &mut self.topics_named;
        let topic = self.topics.entry(arrival.topic.into(), || TopicMemory::new(topics_named));
        let stream = Stream { publisher, session, scope: header.key_id.scope_tag(), topic: topic.number };
        let place = self.windows.get_mut(&stream).map_or(Place::First, |window| window.place(topic_seq));
        match place {
            Place::Seen => return Err(Rejection::Duplicate),
            Place::Below => return Err(Rejection::Stale),
            Place::First | Place::Ahead | Place::Between => {}
        }
        let seen_item = item.is_some_and(|item| topic.items.contains(item));
        if arrival.retain && !seen_item {
            if topic.retained_in == Some(subscription) {
                return Err(Rejection::RetainedAgain);
            }
            if topic.newest.is_some_and(|newest| ts <= newest) {
                return Err(Rejection::RetainedNotNewer);
            }
        }

        // From here on the message is remembered.
        let window = self.windows.entry(stream, || Window::new(topic_seq));
        window.mark(topic_seq);
        if seen_item {
            return Err(Rejection::Duplicate);
        }
        let missed = window.take_missed();
        if let Some(item) = item {
            topic.items.push(item);
        }
        topic.newest = topic.newest.max(Some(ts));
        let incarnation = self.incarnations.entry(publisher).or_default();
        let newest_incarnation = session.incarnation() >= *incarnation;
        *incarnation = session.incarnation().max(*incarnation);
        let is_young = arrival.now.0.abs_diff(ts.0) <= u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX);
        let outcome = if arrival.retain {
            topic.retained_in = Some(subscription);
            Outcome::Retained
        } else if is_young && newest_incarnation && place != Place::Between {
            Outcome::Fresh
        } else {
            Outcome::Late
        };
        Ok((outcome, (missed > 0).then_some(Gap { missed })))
    }
}

/// Suite, flags, `dec` and `ts`, in this order.
fn check_key(header: &Header, entry: &KeyEntry, now: UnixMillis) -> Result<(), Rejection> {
    check_terms(header, &entry.terms)?;
    let (ts, nbf, exp, dec) = (header.ts, entry.terms.nbf, entry.terms.exp, entry.terms.dec);
    if now > dec {
        Err(Rejection::TooOld(dec))
    } else if ts.plus(SKEW_MAX) < nbf || ts > exp.plus(SKEW_MAX) {
        Err(Rejection::OutsideValidity { ts, nbf, exp })
    } else {
        Ok(())
    }
}

/// The id of a JSON plaintext; other contents have none.
fn item_id(content: ContentType, plaintext: &[u8]) -> Result<Option<ItemId>, Rejection> {
    #[derive(Deserialize)]
    struct Item {
        id: ItemId,
    }
    if content != ContentType::Json {
        return Ok(None);
    }
    object_from_slice::<Item>(plaintext).map(|item| Some(item.id)).map_err(|_| Rejection::BadItem)
}

impl TopicMemory {
    fn new(topics_named: &mut u64) -> Self {
        *topics_named += 1;
        Self { number: TopicNumber(*topics_named), items: ItemIds::default(), newest: None, retained_in: None }
    }
}

/// The last [`ITEM_IDS_REMEMBERED`] item ids of a topic.
#[derive(Debug, Default)]
struct ItemIds {
    ids: VecDeque<ItemId>,
    highest: Option<ItemId>,
}

impl ItemIds {
    /// Ids are `UUIDv7` and rise: a new one is mostly above all others, which spares the search.
    fn contains(&self, id: ItemId) -> bool {
        self.highest >= Some(id) && self.ids.contains(&id)
    }

    fn push(&mut self, id: ItemId) {
        if self.ids.len() == ITEM_IDS_REMEMBERED {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        self.highest = self.highest.max(Some(id));
    }
}

#[cfg(test)]
mod tests;
