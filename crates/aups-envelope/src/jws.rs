//! Compact JWS (RFC 7515) as this protocol takes it: Ed25519 only, a header of exactly the members that are said.
//!
//! Everything about a header is checked before a key is touched. Headers and payloads are JSON objects of known members,
//! none missing, none further, none twice: a reader that skips what it does not know can be told something else than the
//! next one.

use crate::{
    b64,
    sign::{BadSignature, SIGNATURE_BYTES, SigningKey, VerifyingKey},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};
use thiserror::Error;

/// The one algorithm (RFC 8037): Ed25519.
const ALGORITHM: &str = "EdDSA";

/// A text that is not a JWS of the form that is asked for. Its sender is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Not three parts between two dots.
    #[error("a compact JWS has three parts")]
    Parts,
    /// A part that is not canonical base64url.
    #[error("the {0} is not canonical base64url")]
    Encoding(&'static str),
    /// The header is no JSON object of `alg`, `typ` and, where it is said, `kid`; or one of them comes twice.
    #[error("the header is not an object of exactly the members alg, typ and, where it is said, kid")]
    Header(#[source] serde_json::Error),
    /// Another algorithm than Ed25519.
    #[error("the algorithm is `{0}`, only EdDSA is taken")]
    Algorithm(String),
    /// Another type of object.
    #[error("the type is `{found}`, `{wanted}` is expected")]
    Type {
        /// In the header.
        found: String,
        /// What the reader expects.
        wanted: &'static str,
    },
    /// `kid` is missing or must not be there.
    #[error("the header must name its key if and only if objects of this type do")]
    Kid,
    /// The payload is no JSON object of exactly the members of this type; or one of them comes twice.
    #[error("the payload is not an object of exactly the members of its type")]
    Payload(#[source] serde_json::Error),
    /// The signature is not 64 bytes long.
    #[error("an Ed25519 signature has 64 bytes")]
    SignatureLength,
    /// Signed by another key, or changed.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
}

/// Whether objects of a type name their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kid {
    Absent,
    Present,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// `serde(deserialize_with)`: a member that may be absent, which is not the same as `null`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Signs a payload.
pub(crate) fn sign(typ: &str, kid: Option<&str>, payload: &[u8], key: &SigningKey) -> String {
    let kid = kid.map(|kid| format!(r#","kid":{}"#, serde_json::Value::from(kid))).unwrap_or_default();
    let header = format!(r#"{{"alg":"{ALGORITHM}","typ":"{typ}"{kid}}}"#);
    let mut jws = format!("{}.{}", b64::encode(header.as_bytes()), b64::encode(payload));
    let signature = key.sign(jws.as_bytes());
    jws.push('.');
    jws.push_str(&b64::encode(&signature));
    jws
}

/// A JWS whose header is right and whose signature nobody has verified yet.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    signing_input: &'a [u8],
    payload: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
    kid: Option<String>,
}

impl<'a> Jws<'a> {
    /// Reads a JWS of a type. Checked in this order: parts, header, algorithm, type, kid, payload's encoding, signature's.
    pub(crate) fn parse(jws: &'a [u8], wanted: &'static str, kid: Kid) -> Result<Self, JwsError> {
        let mut parts = jws.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::Parts);
        };
        let decode = |part, what| b64::decode_ascii(part).map_err(|_| JwsError::Encoding(what));
        let signing_input = jws.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        let header: Header = object_from_slice(&decode(header, "header")?).map_err(JwsError::Header)?;
        if header.alg != ALGORITHM {
            return Err(JwsError::Algorithm(header.alg));
        }
        if header.typ != wanted {
            return Err(JwsError::Type { found: header.typ, wanted });
        }
        if header.kid.is_some() != (kid == Kid::Present) {
            return Err(JwsError::Kid);
        }
        let payload = decode(payload, "payload")?;
        let signature = decode(signature, "signature")?.try_into().map_err(|_| JwsError::SignatureLength)?;
        Ok(Self { signing_input, payload, signature, kid: header.kid })
    }

    /// The key that the header names, where objects of this type do.
    pub(crate) fn kid(&self) -> &str {
        self.kid.as_deref().unwrap_or_default()
    }

    /// What the payload says. Nobody has signed it until [`Jws::verify`] says so.
    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Result<T, JwsError> {
        object_from_slice(&self.payload).map_err(JwsError::Payload)
    }

    /// Verifies the signature.
    pub(crate) fn verify(&self, key: &VerifyingKey) -> Result<(), BadSignature> {
        key.verify(self.signing_input, &self.signature)
    }
}

/// Writes a payload.
///
/// # Panics
/// Never: what we write has text keys and values that can be written.
#[expect(clippy::expect_used, reason = "fails only for values that this crate does not write")]
pub(crate) fn to_json(payload: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(payload).expect("texts, numbers and arrays of them can be written as JSON")
}

/// Reads a JSON object. A derived `Deserialize` with `deny_unknown_fields` refuses unknown, missing and duplicate members,
/// but it would take an array of values as well: this does not.
pub(crate) fn object_from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Object<T>>(json).map(|Object(object)| object)
}

/// A value that is written as a JSON object and read from one only.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// `serde(with)`: so many bytes as base64url.
pub(crate) mod bytes {
    use crate::b64;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::borrow::Cow;

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        b64::decode_array(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `serde(with)`: a secret as base64url, without a copy on the way other than the text that is read or written.
pub(crate) mod secret {
    use crate::secret::Secret;
    use base64::{Engine as _, display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserializer, Serializer, de::Error, de::Visitor};
    use std::fmt;

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        secret: &Secret<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(secret.expose(), &URL_SAFE_NO_PAD))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<Secret<N>, D::Error> {
        deserializer.deserialize_str(SecretVisitor)
    }

    struct SecretVisitor<const N: usize>;

    impl<const N: usize> Visitor<'_> for SecretVisitor<N> {
        type Value = Secret<N>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the base64url of {N} bytes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Secret<N>, E> {
            let mut decoded = Ok(0);
            let secret = Secret::filled(|out| decoded = URL_SAFE_NO_PAD.decode_slice(text, out));
            // What is in the text is not said: it is, or nearly is, a secret.
            if decoded == Ok(N) { Ok(secret) } else { Err(E::invalid_length(text.len(), &self)) }
        }
    }
}

#[cfg(test)]
mod tests;
