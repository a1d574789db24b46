//! Canonical base64url without padding (RFC 4648 sections 5 and 3.5): one text per byte string.

use base64::{DecodeError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;

/// A text that is not canonical base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not canonical base64url without padding")]
pub struct B64Error;

impl From<DecodeError> for B64Error {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// Bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Text as bytes. Refuses padding, other alphabets, and trailing bits that are not zero.
pub fn decode(text: &str) -> Result<Vec<u8>, B64Error> {
    Ok(URL_SAFE_NO_PAD.decode(text)?)
}

/// Text as so many bytes.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], B64Error> {
    decode(text)?.try_into().map_err(|_| B64Error)
}

/// Length of the text for so many bytes.
pub(crate) const fn text_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Writes the text behind what stands in `out`, without a buffer between.
pub(crate) fn append(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + text_len(bytes.len()), 0);
    let (_, place) = out.split_at_mut(from);
    // Cannot fail: the place is exactly as long as the text.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, place);
    debug_assert!(written.is_ok());
}

/// Text, given as bytes, as bytes.
pub(crate) fn decode_ascii(text: &[u8]) -> Result<Vec<u8>, B64Error> {
    Ok(URL_SAFE_NO_PAD.decode(text)?)
}

#[cfg(test)]
mod tests;
