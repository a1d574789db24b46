//! The sealed message of AUPS, its keys, and how keys are asked for and given: everything that is cryptography.
//!
//! In the order of a message's life: a key ([`schedule`], [`key`]) seals ([`seal`]) a plaintext into a message
//! ([`message`]), which is opened again ([`open`]) if a reader may take it ([`accept`]).
//! A source that seals what it sends does it by the same rules ([`source`]).
//! A reader enrols ([`enrol`], [`identity`]) and asks for keys ([`key_request`]), or what it may read ([`bearer`]).
//! Around them stand sealing to a reader ([`kem`]), keys at rest ([`wrap`]) and from passphrases ([`passphrase`]), signatures
//! ([`sign`]) and secrets as types ([`secret`]).
//! An audit trail is signed up to a line ([`checkpoint`]).
//!
//! The byte layouts and formulas are written down in `docs/protocol.md`, with vectors in `testvectors/`.
//!
//! INVARIANT: no I/O, no clock, no async; time is an argument. Randomness is the operating system's. No other crate of
//! ours names a cryptography crate.
#![warn(missing_docs)]

pub mod key;
pub mod schedule;

pub mod accept;
pub mod message;
pub mod open;
pub mod seal;
pub mod source;

pub mod authority;
pub mod bearer;
pub mod checkpoint;
pub mod enrol;
pub mod identity;
pub mod key_request;

pub mod kem;
pub mod passphrase;
pub mod sign;
pub mod wrap;

pub mod b64;
pub mod hash;
pub mod secret;

mod aead;
mod certificate;
mod challenge;
mod hkdf;
mod jws;
mod subkey;

#[cfg(test)]
mod fixture;

pub use certificate::{Certificate, CertificateError};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{constant_time_eq, random, sha256};
pub use jws::JwsError;
pub use key::{KeyEntry, KeyEntryError, KeyTerms};
pub use message::{ContentType, FormatError, Header, SealedMessage, Spelling};
pub use open::{OpenError, OpeningKey};
pub use schedule::Validity;
pub use seal::{Plaintext, SealError, SealingKey};
pub use secret::{KeyT, Secret, SecretBytes};
pub use sign::{BadSignature, SigningKey, VerifyingKey, VerifyingKeyError, realm_id};
pub use source::{SourceMaster, SourceOpenError, SourceOpener, SourceSealer};
pub use subkey::TopicTooLong;
pub use wrap::{Kek, WrapError};
