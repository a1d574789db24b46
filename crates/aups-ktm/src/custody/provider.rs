//! What holds the key under which the keyring lies: a file, the environment, a passphrase.

use super::{CustodyError, file};
use aups_envelope::{
    Secret, SecretBytes, b64,
    passphrase::{PASSPHRASE_CHARS_MIN, PassphraseCost, SALT_BYTES, passphrase_key},
    random,
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// What holds the key under which a keyring lies. It is asked once at each start, and may take its time.
pub trait KekProvider: fmt::Debug + Send + Sync {
    /// What it is called: the value of `--kek`.
    fn name(&self) -> &'static str;

    /// The key for a keyring that is made now, and what must be known beside the provider to find it again.
    fn make(&self) -> Result<(Secret<32>, Held), CustodyError>;

    /// The key of a keyring that was made with this kind of provider. `None`: with another.
    fn find(&self, held: &Held) -> Result<Option<Secret<32>>, CustodyError>;
}

/// By what a keyring is held. Not secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Held {
    /// A file with the key.
    File {},
    /// A key in the environment.
    Env {},
    /// A passphrase, worked on with these.
    Passphrase {
        /// Random bytes, as base64url.
        salt: String,
        /// See [`PassphraseCost`].
        memory_kib: u32,
        /// See [`PassphraseCost`].
        passes: u32,
        /// See [`PassphraseCost`].
        lanes: u32,
    },
}

impl Held {
    /// What the provider is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File {} => KekFile::NAME,
            Self::Env {} => Environment::NAME,
            Self::Passphrase { .. } => Passphrase::NAME,
        }
    }
}

/// The key is a file of 32 raw bytes that only its owner reads. Made at the first start.
///
/// Keep a copy elsewhere: without the file nothing in the store can be unwrapped.
#[derive(Debug)]
pub struct KekFile(pub PathBuf);

impl KekFile {
    const NAME: &'static str = "file";
}

impl KekProvider for KekFile {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn make(&self) -> Result<(Secret<32>, Held), CustodyError> {
        Ok((file::read_or_make(&self.0)?, Held::File {}))
    }

    fn find(&self, held: &Held) -> Result<Option<Secret<32>>, CustodyError> {
        match held {
            Held::File {} => file::read_existing(&self.0).map(Some),
            _ => Ok(None),
        }
    }
}

/// The key comes from the environment, as base64url of 32 bytes.
#[derive(Debug)]
pub struct Environment(Secret<32>);

impl Environment {
    const NAME: &'static str = "env";

    /// Takes what the variable holds.
    pub fn new(value: &SecretBytes) -> Result<Self, CustodyError> {
        let text = std::str::from_utf8(value.expose()).map_err(|_| CustodyError::Environment)?;
        let bytes = b64::decode(text.trim()).map(SecretBytes::from_vec).map_err(|_| CustodyError::Environment)?;
        Secret::from_slice(bytes.expose()).map(Self).ok_or(CustodyError::Environment)
    }
}

impl KekProvider for Environment {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn make(&self) -> Result<(Secret<32>, Held), CustodyError> {
        Ok((self.0.duplicate(), Held::Env {}))
    }

    fn find(&self, held: &Held) -> Result<Option<Secret<32>>, CustodyError> {
        Ok(matches!(held, Held::Env {}).then(|| self.0.duplicate()))
    }
}

/// The key is made of a passphrase, with Argon2id.
#[derive(Debug)]
pub struct Passphrase {
    passphrase: SecretBytes,
    cost: PassphraseCost,
}

impl Passphrase {
    const NAME: &'static str = "passphrase";

    /// A passphrase of twelve characters at least. `cost` is for a keyring that is made now; one that exists says its own.
    pub fn new(passphrase: SecretBytes, cost: PassphraseCost) -> Result<Self, CustodyError> {
        Self::check(&passphrase)?;
        Ok(Self { passphrase, cost })
    }

    /// Refuses what is too easily guessed.
    pub(crate) fn check(passphrase: &SecretBytes) -> Result<(), CustodyError> {
        let bytes = passphrase.expose();
        let chars = std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.chars().count());
        if chars < PASSPHRASE_CHARS_MIN { Err(CustodyError::PassphraseShort) } else { Ok(()) }
    }
}

impl KekProvider for Passphrase {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn make(&self) -> Result<(Secret<32>, Held), CustodyError> {
        let salt = random::<SALT_BYTES>();
        let PassphraseCost { memory_kib, passes, lanes } = self.cost;
        let key = passphrase_key(&self.passphrase, &salt, self.cost).map_err(|_| CustodyError::Cost)?;
        Ok((key, Held::Passphrase { salt: b64::encode(&salt), memory_kib, passes, lanes }))
    }

    fn find(&self, held: &Held) -> Result<Option<Secret<32>>, CustodyError> {
        let Held::Passphrase { salt, memory_kib, passes, lanes } = held else { return Ok(None) };
        let salt = b64::decode(salt).ok().and_then(|salt| salt.try_into().ok()).ok_or(CustodyError::Cost)?;
        let cost = PassphraseCost { memory_kib: *memory_kib, passes: *passes, lanes: *lanes };
        passphrase_key(&self.passphrase, &salt, cost).map(Some).map_err(|_| CustodyError::Cost)
    }
}

#[cfg(test)]
mod tests;
