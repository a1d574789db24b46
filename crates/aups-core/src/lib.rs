//! The vocabulary of AUPS: what every other crate talks about.
//!
//! Ids and names ([`id`]), times ([`time`]), topics and filters ([`topic`]), the normalised reading ([`item`]) with its
//! scores ([`score`]), who reads ([`reader`]), who may read ([`scope`]), what a peer is told when something is wrong
//! ([`problem`]), and how much of anything is too much ([`limits`]).
//!
//! INVARIANT: no I/O, no clock, no async, no cryptography. Time is an argument.
#![warn(missing_docs)]

pub mod id;
pub mod item;
pub mod limits;
pub mod problem;
pub mod reader;
pub mod scope;
pub mod score;
pub mod time;
pub mod topic;

pub use id::{
    Bump, Epoch, GroupName, ItemId, KeyId, NodeId, NosId, PublisherSlot, RealmId, ScopeId, ScopeTag, Session, Sub,
    TokenName,
};
pub use item::{Item, Marks, Reading, Source};
pub use problem::Problem;
pub use reader::{AttributeValue, Attributes, Principal, ReaderKind};
pub use scope::{Flags, Obligations, Redaction, ScopeSpec, Suite};
pub use score::{Quality, Score, ScoreName, Security};
pub use time::{Clock, ManualClock, UnixMillis, parse_duration};
pub use topic::{Filter, Topic};
