//! SHA-256, comparison in constant time, and random bytes.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, rand};

/// SHA-256 (FIPS 180-4) over the parts, one after the other. The caller separates parts of variable length.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Whether both are equal, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

/// Random bytes of the operating system. For secrets use [`crate::Secret::random`].
///
/// # Panics
/// When the operating system gives no randomness.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

#[expect(clippy::expect_used, reason = "without randomness no key is a key; there is nothing safe to fall back to")]
pub(crate) fn fill_random<const N: usize>(bytes: &mut [u8; N]) {
    rand::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests;
