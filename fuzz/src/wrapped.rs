//! Secrets at rest: what a store gives back.

use aups_envelope::Kek;
use std::sync::LazyLock;

static KEK: LazyLock<Kek> = LazyLock::new(|| Kek::new(3, crate::fixture::secret("kek")));
static WRAPPED: LazyLock<Vec<u8>> = LazyLock::new(|| KEK.wrap(b"a record", b"a secret"));

pub(crate) fn run(data: &[u8]) {
    if KEK.unwrap(b"a record", data).is_ok() {
        assert_eq!(data, &WRAPPED[..], "what nobody wrapped was unwrapped");
    }
    assert!(KEK.unwrap(b"another record", data).is_err(), "unwrapped for another record");
}

/// The nonce is random: another process would not know our secret as its own. So the last byte of the tag is not right.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut altered = WRAPPED.clone();
    if let Some(last) = altered.last_mut() {
        *last ^= 1;
    }
    vec![altered]
}
