//! HKDF-SHA256 (RFC 5869).

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// Longest output, RFC 5869 section 2.3.
const OUTPUT_BYTES_MAX: usize = 255 * 32;

/// Extract and expand: fills `out` from the salt, the input keying material and the info (its parts one after the other).
///
/// About 0.8 µs for up to 64 bytes of output.
///
/// # Panics
/// When `out` is longer than 8,160 bytes; each caller in this crate gives a constant length of at most 64.
#[expect(clippy::expect_used, reason = "fails only for an output that is too long, which is a constant of the caller")]
pub(crate) fn hkdf(salt: &[u8], ikm: &[u8], info: &[&[u8]], out: &mut [u8]) {
    debug_assert!(out.len() <= OUTPUT_BYTES_MAX);
    Salt::new(HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("the output is at most 8,160 bytes long");
}

#[derive(Debug, Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
