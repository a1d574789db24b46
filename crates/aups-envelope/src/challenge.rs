//! Challenges for clients without a clock, in place of `iat`: stateless, so that handing them out costs no memory.
//!
//! The pattern is the nonce of `DPoP` (RFC 9449 section 8). A challenge is `expires(u64) ‖ random(8) ‖ tag(32)`, base64url;
//! tag = HMAC-SHA256(key, `"aups/1 challenge" ‖ expires ‖ random ‖ sub`). Only its issuer reads it.

use crate::{b64, hash::random, secret::Secret};
use aups_core::{Sub, UnixMillis};
use aws_lc_rs::hmac;
use std::time::Duration;
use thiserror::Error;

const EXPIRES_BYTES: usize = 8;
const RANDOM_BYTES: usize = 8;
const TAG_BYTES: usize = 32;

/// Makes challenges and knows its own again.
#[derive(Debug)]
pub struct ChallengeKey(hmac::Key);

/// A challenge that is not taken: send a new request with the challenge of the answer to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Not one that this key made for this reader.
    #[error("the challenge was not made here, or for another reader")]
    NotOurs,
    /// Its time is over.
    #[error("the challenge has expired")]
    Expired,
}

impl ChallengeKey {
    /// A fresh key. Challenges do not survive the process that made them, and need not.
    pub fn generate() -> Self {
        Self::new(&Secret::random())
    }

    /// A key that several processes share.
    pub fn new(key: &Secret<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// A challenge for a reader, good for `life` from `now`. The issuer must remember the `jti` of requests as long.
    pub fn issue(&self, sub: &Sub, now: UnixMillis, life: Duration) -> String {
        let expires = now.plus(life).0.to_be_bytes();
        let random = random::<RANDOM_BYTES>();
        let tag = self.tag(&expires, &random, sub);
        b64::encode(&[&expires[..], &random, tag.as_ref()].concat())
    }

    /// Whether a challenge is ours, for this reader, and still good.
    pub fn verify(&self, challenge: &str, sub: &Sub, now: UnixMillis) -> Result<(), ChallengeError> {
        let bytes: [u8; EXPIRES_BYTES + RANDOM_BYTES + TAG_BYTES] =
            b64::decode_array(challenge).map_err(|_| ChallengeError::NotOurs)?;
        let (expires, rest) = bytes.split_first_chunk::<EXPIRES_BYTES>().ok_or(ChallengeError::NotOurs)?;
        let (random, tag) = rest.split_at(RANDOM_BYTES);
        if !crate::constant_time_eq(self.tag(expires, random, sub).as_ref(), tag) {
            Err(ChallengeError::NotOurs)
        } else if now.0 > u64::from_be_bytes(*expires) {
            Err(ChallengeError::Expired)
        } else {
            Ok(())
        }
    }

    fn tag(&self, expires: &[u8], random: &[u8], sub: &Sub) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [b"aups/1 challenge", expires, random, sub.as_str().as_bytes()] {
            context.update(part);
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests;
