//! A NOS's certificate.

use aups_core::{NosId, PublisherSlot, UnixMillis};
use aups_envelope::{SigningKey, VerifyingKey, b64};

pub(crate) struct Certificate {
    pub(crate) nos: NosId,
    pub(crate) publisher: PublisherSlot,
    pub(crate) signing_key: VerifyingKey,
    pub(crate) iat: UnixMillis,
    pub(crate) exp: UnixMillis,
}

impl Certificate {
    pub(crate) fn issue(&self, realm: &SigningKey) -> String {
        let header = b64::encode(br#"{"alg":"EdDSA","typ":"aups-nos"}"#);
        let payload = serde_json::json!({
            "nos": self.nos, "publisher": self.publisher, "signingKey": self.signing_key, "iat": self.iat, "exp": self.exp,
        });
        let signed = format!("{header}.{}", b64::encode(payload.to_string().as_bytes()));
        let signature = b64::encode(&realm.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}
