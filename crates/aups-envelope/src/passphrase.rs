//! Keys from passphrases: Argon2id (RFC 9106).

use crate::secret::{Secret, SecretBytes};
use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;

/// Length of the random salt that makes the same passphrase another key everywhere.
pub const SALT_BYTES: usize = 16;

/// Fewest characters of a passphrase: below, guessing is cheap whatever a guess costs.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// Most memory that a cost may ask for, in KiB: it may come from a file that somebody else wrote.
const MEMORY_KIB_MAX: u32 = 1 << 20;

/// Most passes that a cost may ask for.
const PASSES_MAX: u32 = 64;

/// Most lanes that a cost may ask for.
const LANES_MAX: u32 = 64;

/// What one guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// How often it is gone over.
    pub passes: u32,
    /// How many parts of it can be worked on at once.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// The second recommended option of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes. Some 0.2 s.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

/// A cost that is not taken: whoever wrote it down is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a passphrase is worked on with 1 to {LANES_MAX} lanes, 1 to {PASSES_MAX} passes, and 8 KiB a lane to {MEMORY_KIB_MAX} KiB of memory"
)]
pub struct PassphraseCostError;

/// The key of a passphrase. Takes the memory and the time of its cost; blocks.
pub fn passphrase_key(
    passphrase: &SecretBytes,
    salt: &[u8; SALT_BYTES],
    cost: PassphraseCost,
) -> Result<Secret<32>, PassphraseCostError> {
    let PassphraseCost { memory_kib, passes, lanes } = cost;
    if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
        return Err(PassphraseCostError);
    }
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| PassphraseCostError)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut done = Ok(());
    let key = Secret::filled(|out| done = argon2.hash_password_into(passphrase.expose(), salt, out));
    done.map(|()| key).map_err(|_| PassphraseCostError)
}

#[cfg(test)]
mod tests;
