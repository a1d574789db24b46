//! The sealed message on the wire: one object, two spellings; changing the spelling needs no key.

use crate::b64;
use aups_core::{Flags, KeyId, PublisherSlot, Session, Suite, UnixMillis};
use std::borrow::Cow;
use thiserror::Error;

/// The first byte of a header.
pub const VERSION: u8 = 1;
/// Length of a header, key id included.
pub const HEADER_BYTES: usize = 56;
/// Length of an authentication tag.
pub const TAG_BYTES: usize = crate::aead::TAG_BYTES;
/// Length of a signature.
pub const SIGNATURE_BYTES: usize = crate::sign::SIGNATURE_BYTES;
/// Longest message that we read, in either spelling.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Latest time and highest seq that fit their six bytes.
pub(crate) const U48_MAX: u64 = (1 << 48) - 1;

/// What the JSON spelling's `data` holds of the header: all but the key id, which stands in a member of its own.
const DATA_HEADER_BYTES: usize = HEADER_BYTES - KeyId::BYTES;

/// What stands in front of the ciphertext. All of it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How the message is sealed.
    pub suite: Suite,
    /// Whether it is signed, padded.
    pub flags: Flags,
    /// What the plaintext is.
    pub content: ContentType,
    /// Which NOS sealed it; 0 is no NOS.
    pub publisher: PublisherSlot,
    /// Which incarnation of it.
    pub session: Session,
    /// Counter per key, publisher and session, from 0; makes the nonce unique. Below 2⁴⁸.
    pub seq: u64,
    /// When it was sealed. Below 2⁴⁸.
    pub ts: UnixMillis,
    /// Counter per topic and scope within the session, from 0, across epochs and bumps.
    pub topic_seq: u32,
    /// The key.
    pub key_id: KeyId,
}

/// What a plaintext is. The number stands in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    /// Anything.
    Octets = 0,
    /// JSON: an item, if a NOS sealed it.
    Json = 1,
    /// CBOR (RFC 8949).
    Cbor = 2,
    /// SenML in JSON (RFC 8428).
    SenmlJson = 3,
}

impl TryFrom<u8> for ContentType {
    type Error = FormatError;
    fn try_from(number: u8) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::Octets),
            1 => Ok(Self::Json),
            2 => Ok(Self::Cbor),
            3 => Ok(Self::SenmlJson),
            _ => Err(FormatError::UnknownContentType(number)),
        }
    }
}

/// How a message is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spelling {
    /// The paper's equation (2): `{"keyId":"…","data":"…"}`.
    #[default]
    Json,
    /// `header ‖ ciphertext ‖ tag [‖ signature]`.
    Binary,
}

impl Spelling {
    /// The MQTT 5 content type of messages in this spelling.
    pub const fn mqtt_content_type(self) -> &'static str {
        match self {
            Self::Json => "application/aups+json",
            Self::Binary => "application/aups",
        }
    }
}

/// Bytes that are not a sealed message. Their sender is at fault: drop them. One variant per fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No byte at all.
    #[error("an empty payload is no sealed message")]
    Empty,
    /// More than [`MESSAGE_BYTES_MAX`].
    #[error("a sealed message has at most {MESSAGE_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The first byte is neither the version nor `{`.
    #[error("the first byte is {0:#04x}: neither version 1 nor `{{`")]
    UnknownVersion(u8),
    /// A suite that this version does not know.
    #[error("unknown suite {0}")]
    UnknownSuite(u8),
    /// A flag that this version does not know.
    #[error("unknown flag in {0:#010b}")]
    UnknownFlag(u8),
    /// A content type that this version does not know.
    #[error("unknown content type {0}")]
    UnknownContentType(u8),
    /// Shorter than header, tag and what the flags announce.
    #[error("the message ends early: {found} bytes where {least} are the least")]
    TooShort {
        /// Bytes of `header ‖ ciphertext ‖ tag [‖ signature]` that are there.
        found: usize,
        /// Bytes that the header asks for.
        least: usize,
    },
    /// Not a JSON object of strings, at this byte.
    #[error("not a JSON object of two strings, at byte {0}")]
    Json(usize),
    /// A backslash in a name or a value.
    #[error("string escapes are not taken, at byte {0}")]
    Escape(usize),
    /// A member other than `keyId` and `data`.
    #[error("a member other than `keyId` and `data`, at byte {0}")]
    UnknownMember(usize),
    /// A member that comes twice.
    #[error("`{0}` comes twice")]
    DuplicateMember(&'static str),
    /// A member that is not there.
    #[error("`{0}` is missing")]
    MissingMember(&'static str),
    /// A value that is not a string.
    #[error("`{0}` is not a string")]
    NotText(&'static str),
    /// Something behind the closing brace.
    #[error("more follows the closing brace, at byte {0}")]
    TrailingBytes(usize),
    /// `keyId` is not 32 characters long.
    #[error("`keyId` has 32 characters, this one has {0}")]
    KeyIdLength(usize),
    /// `keyId` is not canonical base64url.
    #[error("`keyId` is not canonical base64url")]
    KeyIdEncoding,
    /// `data` is not canonical base64url.
    #[error("`data` is not canonical base64url")]
    DataEncoding,
}

/// A message that has the right form. Nothing about it is authenticated until it is opened.
#[derive(Debug, Clone)]
pub struct SealedMessage<'a> {
    header: Header,
    header_bytes: [u8; HEADER_BYTES],
    spelling: Spelling,
    /// The payload of the binary spelling, or what `data` decodes to.
    bytes: Cow<'a, [u8]>,
}

impl<'a> SealedMessage<'a> {
    /// Reads either spelling, strictly. Checked in this order: size, first byte, (JSON: members, key id, `data`), version,
    /// suite, flags, content type, length.
    pub fn parse(payload: &'a [u8]) -> Result<Self, FormatError> {
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(FormatError::TooLong(payload.len()));
        }
        match payload.first() {
            None => Err(FormatError::Empty),
            Some(b'{') => Self::parse_json(payload),
            Some(_) => Self::parse_binary(payload),
        }
    }

    fn parse_binary(payload: &'a [u8]) -> Result<Self, FormatError> {
        let header = Header::read_prefix(payload)?;
        let least = header.least_bytes();
        let (header_bytes, _) = payload
            .split_first_chunk()
            .filter(|_| payload.len() >= least)
            .ok_or(FormatError::TooShort { found: payload.len(), least })?;
        let header = header.complete(header_bytes);
        Ok(Self { header, header_bytes: *header_bytes, spelling: Spelling::Binary, bytes: Cow::Borrowed(payload) })
    }

    fn parse_json(payload: &'a [u8]) -> Result<Self, FormatError> {
        let members = Members::read(payload)?;
        if members.key_id.len() != b64::text_len(KeyId::BYTES) {
            return Err(FormatError::KeyIdLength(members.key_id.len()));
        }
        let key_id = b64::decode_ascii(members.key_id).map_err(|_| FormatError::KeyIdEncoding)?;
        let data = b64::decode_ascii(members.data).map_err(|_| FormatError::DataEncoding)?;
        let header = Header::read_prefix(&data)?;
        let (least, found) = (header.least_bytes(), data.len() + KeyId::BYTES);
        let (front, _) = data
            .split_first_chunk::<DATA_HEADER_BYTES>()
            .filter(|_| found >= least)
            .ok_or(FormatError::TooShort { found, least })?;
        let mut header_bytes = [0; HEADER_BYTES];
        let (head, tail) = header_bytes.split_at_mut(DATA_HEADER_BYTES);
        head.copy_from_slice(front);
        tail.copy_from_slice(&key_id);
        let header = header.complete(&header_bytes);
        Ok(Self { header, header_bytes, spelling: Spelling::Json, bytes: Cow::Owned(data) })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The spelling in which the message came.
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The message in the JSON spelling.
    pub fn to_json(&self) -> Vec<u8> {
        match self.spelling {
            Spelling::Json => json(&self.header.key_id, &self.bytes),
            Spelling::Binary => {
                let (head, _) = self.header_bytes.split_at(DATA_HEADER_BYTES);
                json(&self.header.key_id, &[head, self.body()].concat())
            }
        }
    }

    /// The message in the binary spelling.
    pub fn to_binary(&self) -> Vec<u8> {
        match self.spelling {
            Spelling::Json => [&self.header_bytes[..], self.body()].concat(),
            Spelling::Binary => self.bytes.to_vec(),
        }
    }

    pub(crate) fn header_bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.header_bytes
    }

    /// `ciphertext ‖ tag`, and the signature if there is one.
    pub(crate) fn ciphertext_and_tag(&self) -> (&[u8], Option<&[u8; SIGNATURE_BYTES]>) {
        let body = self.body();
        match body.split_last_chunk() {
            Some((sealed, signature)) if self.header.flags.contains(Flags::SIGNED) => (sealed, Some(signature)),
            _ => (body, None),
        }
    }

    /// `ciphertext ‖ tag [‖ signature]`.
    fn body(&self) -> &[u8] {
        let at = match self.spelling {
            Spelling::Json => DATA_HEADER_BYTES,
            Spelling::Binary => HEADER_BYTES,
        };
        // Never shorter: both parsers compared the length with the header's.
        self.bytes.get(at..).unwrap_or_default()
    }
}

/// Writes the JSON spelling into one buffer of the right size. `data` is `header[0..32] ‖ ciphertext ‖ tag [‖ signature]`.
pub(crate) fn json(key_id: &KeyId, data: &[u8]) -> Vec<u8> {
    const OPEN: &[u8] = br#"{"keyId":""#;
    const BETWEEN: &[u8] = br#"","data":""#;
    const CLOSE: &[u8] = br#""}"#;
    let text_bytes = b64::text_len(KeyId::BYTES) + b64::text_len(data.len());
    let mut out = Vec::with_capacity(OPEN.len() + BETWEEN.len() + CLOSE.len() + text_bytes);
    out.extend_from_slice(OPEN);
    b64::append(key_id.as_bytes(), &mut out);
    out.extend_from_slice(BETWEEN);
    b64::append(data, &mut out);
    out.extend_from_slice(CLOSE);
    out
}

/// The first four bytes of a header, checked: enough to say how long the message must be.
struct Prefix {
    suite: Suite,
    flags: Flags,
    content: ContentType,
}

impl Prefix {
    /// Length of the shortest `header ‖ ciphertext ‖ tag [‖ signature]` with these flags: padding is a byte at least.
    fn least_bytes(&self) -> usize {
        let padding = usize::from(self.flags.contains(Flags::PADDED));
        let signature = if self.flags.contains(Flags::SIGNED) { SIGNATURE_BYTES } else { 0 };
        HEADER_BYTES + padding + TAG_BYTES + signature
    }

    fn complete(self, bytes: &[u8; HEADER_BYTES]) -> Header {
        let mut rest = &bytes[..];
        let Self { suite, flags, content } = self;
        take::<4>(&mut rest);
        Header {
            suite,
            flags,
            content,
            publisher: PublisherSlot(u32::from_be_bytes(take(&mut rest))),
            session: Session(u64::from_be_bytes(take(&mut rest))),
            seq: u48_from_be_bytes(take(&mut rest)),
            ts: UnixMillis(u48_from_be_bytes(take(&mut rest))),
            topic_seq: u32::from_be_bytes(take(&mut rest)),
            key_id: KeyId::from_bytes(take(&mut rest)),
        }
    }
}

impl Header {
    fn read_prefix(bytes: &[u8]) -> Result<Prefix, FormatError> {
        let Some(version) = bytes.first() else {
            return Err(FormatError::TooShort { found: KeyId::BYTES, least: HEADER_BYTES + TAG_BYTES });
        };
        if *version != VERSION {
            return Err(FormatError::UnknownVersion(*version));
        }
        let Some([_, suite, flags, content]) = bytes.first_chunk() else {
            return Err(FormatError::TooShort { found: bytes.len(), least: HEADER_BYTES + TAG_BYTES });
        };
        Ok(Prefix {
            suite: Suite::try_from(*suite).map_err(|_| FormatError::UnknownSuite(*suite))?,
            flags: Flags::from_bits(*flags).ok_or(FormatError::UnknownFlag(*flags))?,
            content: ContentType::try_from(*content)?,
        })
    }

    /// The header's bytes. What of seq and ts does not fit is the sealer's to refuse.
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let rest = put(&mut bytes, &[VERSION, self.suite.into(), self.flags.bits(), self.content as u8]);
        let rest = put(rest, &self.publisher.0.to_be_bytes());
        let rest = put(rest, &self.session.0.to_be_bytes());
        let rest = put(rest, &u48_to_be_bytes(self.seq));
        let rest = put(rest, &u48_to_be_bytes(self.ts.0));
        let rest = put(rest, &self.topic_seq.to_be_bytes());
        put(rest, self.key_id.as_bytes());
        bytes
    }
}

pub(crate) fn u48_to_be_bytes(number: u64) -> [u8; 6] {
    debug_assert!(number <= U48_MAX);
    let [_, _, bytes @ ..] = number.to_be_bytes();
    bytes
}

fn u48_from_be_bytes(bytes: [u8; 6]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Takes the next bytes of a header that is known to be long enough.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    rest.split_off(..N).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

/// Puts bytes in front of a place that is known to be long enough, and gives the rest of it.
pub(crate) fn put<'b>(place: &'b mut [u8], bytes: &[u8]) -> &'b mut [u8] {
    let (front, rest) = place.split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    rest
}

/// How far a JSON string goes before something that is not simply a character: quote, backslash or control character.
fn length_of_plain_text(text: &[u8]) -> usize {
    /// Looked at as a whole, without a branch per byte: several times faster for what is long, which `data` is.
    const STRIDE: usize = 32;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let is_plain = |stride: &&[u8; STRIDE]| !stride.iter().fold(false, |special, byte| special | is_special(byte));
    let (strides, _) = text.as_chunks::<STRIDE>();
    let plain = strides.iter().take_while(is_plain).count() * STRIDE;
    let rest = text.get(plain..).unwrap_or_default();
    plain + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The two members of the JSON spelling, as they stand between their quotes.
struct Members<'a> {
    key_id: &'a [u8],
    data: &'a [u8],
}

impl<'a> Members<'a> {
    /// A reader of its own: `serde_json` takes duplicates, escapes and unknown members, and this one need not copy.
    fn read(payload: &'a [u8]) -> Result<Self, FormatError> {
        let mut scanner = Scanner { payload, at: 0 };
        let (mut key_id, mut data) = (None, None);
        scanner.expect(b'{')?;
        scanner.skip_space();
        if !scanner.take(b'}') {
            loop {
                let (name, member) = scanner.name(&mut key_id, &mut data)?;
                scanner.skip_space();
                scanner.expect(b':')?;
                scanner.skip_space();
                if scanner.peek() != Some(b'"') {
                    return Err(FormatError::NotText(name));
                }
                *member = Some(scanner.text()?);
                scanner.skip_space();
                if scanner.take(b'}') {
                    break;
                }
                scanner.expect(b',')?;
                scanner.skip_space();
            }
        }
        scanner.skip_space();
        if scanner.peek().is_some() {
            return Err(FormatError::TrailingBytes(scanner.at));
        }
        let key_id = key_id.ok_or(FormatError::MissingMember("keyId"))?;
        let data = data.ok_or(FormatError::MissingMember("data"))?;
        Ok(Self { key_id, data })
    }
}

struct Scanner<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.payload.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), FormatError> {
        if self.take(byte) { Ok(()) } else { Err(FormatError::Json(self.at)) }
    }

    /// RFC 8259 section 2: space, tab, line feed, carriage return.
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A string without escapes; what stands between the quotes.
    fn text(&mut self) -> Result<&'a [u8], FormatError> {
        self.expect(b'"')?;
        let from = self.at;
        let rest = self.payload.get(from..).unwrap_or_default();
        let length = length_of_plain_text(rest);
        self.at += length;
        match self.peek() {
            Some(b'"') => self.at += 1,
            Some(b'\\') => return Err(FormatError::Escape(self.at)),
            _ => return Err(FormatError::Json(self.at)),
        }
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// The name of a member, and the place of its value, which must still be empty.
    fn name<'m, T>(
        &mut self,
        key_id: &'m mut Option<T>,
        data: &'m mut Option<T>,
    ) -> Result<(&'static str, &'m mut Option<T>), FormatError> {
        let from = self.at;
        let (name, member) = match self.text()? {
            b"keyId" => ("keyId", key_id),
            b"data" => ("data", data),
            _ => return Err(FormatError::UnknownMember(from)),
        };
        if member.is_some() { Err(FormatError::DuplicateMember(name)) } else { Ok((name, member)) }
    }
}

#[cfg(test)]
mod tests;
