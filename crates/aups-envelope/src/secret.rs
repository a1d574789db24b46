//! Secrets as types: no Display, a Debug that shows nothing, no Clone; zeroised when dropped; opened by `expose()` alone.

use std::fmt;
use zeroize::Zeroize as _;

/// So many secret bytes, on the heap so that moving the value leaves no copy behind.
pub struct Secret<const N: usize>(Box<[u8; N]>);

/// A temporary key (the paper's keyT).
pub type KeyT = Secret<32>;

impl<const N: usize> Secret<N> {
    /// Fresh random bytes of the operating system.
    ///
    /// # Panics
    /// When the operating system gives no randomness: nothing that we could do then would be safe.
    pub fn random() -> Self {
        Self::filled(crate::hash::fill_random)
    }

    /// Takes bytes that came from elsewhere. The caller's copy is the caller's to forget.
    pub fn from_bytes(mut bytes: [u8; N]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// From a slice of exactly this length, without a copy on the stack; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::filled(|out| out.copy_from_slice(bytes)))
    }

    /// Made in place by `fill`.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// The bytes. The one way in: search for `expose()` to see who reads secrets.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, zeroised on its own. Named so that copies of secrets are seen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::filled(|out| out.copy_from_slice(&*self.0))
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A secret of any length: what [`crate::wrap::Kek::unwrap`] gives back.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes a buffer, which is zeroised with the value. Its spare capacity too.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Lets go of a line's end and what comes after it: files end in one, the secret in them does not.
    pub fn keep_first_line(&mut self) {
        let ends = self.0.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        // Shortened, not overwritten yet: its whole capacity is zeroised with the value.
        self.0.truncate(ends.unwrap_or(self.0.len()));
    }

    /// Where more is written behind what is there.
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(***)")
    }
}

#[cfg(test)]
mod tests;
