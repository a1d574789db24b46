//! Limits that more than one crate keeps. Each crate names its own beside the code that keeps them.

use std::time::Duration;

/// Largest `/data` body that is not a stream of lines.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest line of a stream of lines.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of JSON that is taken.
pub const JSON_DEPTH_MAX: usize = 64;
/// Largest key request.
pub const KEY_REQUEST_BYTES_MAX: usize = 16 << 10;
/// Most keys in one request.
pub const WANTED_KEYS_MAX: usize = 64;
/// How far clocks may differ.
pub const SKEW_MAX: Duration = Duration::from_secs(30);
/// How far the time of a signed request may be from now.
pub const REQUEST_AGE_MAX: Duration = Duration::from_mins(1);
/// Shortest life of a key.
pub const KEY_LIFE_MIN: Duration = Duration::from_secs(1);
/// Life of a key where no policy says otherwise: the paper's.
pub const KEY_LIFE_DEFAULT: Duration = Duration::from_mins(5);
/// How long a root of keys is in use by default: the longest life that a policy may ask for.
pub const ROOT_PERIOD_DEFAULT: Duration = Duration::from_hours(24);
/// How long after its expiry a key still opens, by default.
pub const HISTORY_DEFAULT: Duration = Duration::from_hours(168);
/// A fresh message is at most so old, by default.
pub const FRESH_AGE_DEFAULT: Duration = Duration::from_mins(1);
/// Topic-seq values that a reader's window holds, per publisher, session, scope and topic.
pub const WINDOW_MESSAGES: u32 = 1_024;
/// Item ids that a reader remembers, per topic.
pub const ITEM_IDS_REMEMBERED: usize = 1_024;
