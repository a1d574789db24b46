use super::*;
use crate::fixture::{NOW, PUBLISHER, SESSION, entry, plaintext, sealing};

fn binary() -> Vec<u8> {
    sealing(&entry(Suite::Aes256Gcm, Flags::NONE)).seal(&plaintext(b"{}"), None, Spelling::Binary).unwrap()
}

fn json_text() -> String {
    String::from_utf8(SealedMessage::parse(&binary()).unwrap().to_json()).unwrap()
}

fn fault(payload: impl AsRef<[u8]>) -> FormatError {
    SealedMessage::parse(payload.as_ref()).unwrap_err()
}

/// The JSON spelling of a binary message, whatever the message says.
fn spell(binary: &[u8]) -> Vec<u8> {
    let (front, rest) = binary.split_at(DATA_HEADER_BYTES);
    let (key_id, body) = rest.split_at(KeyId::BYTES);
    json(&KeyId::from_bytes(key_id.try_into().unwrap()), &[front, body].concat())
}

fn shorter(text: &str, by: usize) -> &str {
    text.get(..text.len() - by).unwrap()
}

#[test]
fn a_header_is_56_bytes_in_the_order_of_the_contract() {
    let header = Header {
        suite: Suite::ChaCha20Poly1305,
        flags: Flags::SIGNED.union(Flags::PADDED),
        content: ContentType::SenmlJson,
        publisher: PublisherSlot(0x0405_0607),
        session: Session(0x0809_0a0b_0c0d_0e0f),
        seq: 0x1011_1213_1415,
        ts: UnixMillis(0x1617_1819_1a1b),
        topic_seq: 0x1c1d_1e1f,
        key_id: KeyId::from_bytes(std::array::from_fn(|i| u8::try_from(0x20 + i).unwrap())),
    };
    let mut expected: Vec<u8> = (0..56).collect();
    expected[..4].copy_from_slice(&[1, 2, 3, 3]);
    assert_eq!(&header.to_bytes()[..], &expected);
    expected.extend_from_slice(&[0; 1 + TAG_BYTES + SIGNATURE_BYTES]);
    assert_eq!(SealedMessage::parse(&expected).unwrap().header(), &header);
    assert_eq!(SealedMessage::parse(&spell(&expected)).unwrap().header(), &header);
}

#[test]
fn each_spelling_turns_into_the_other_without_a_key() {
    let binary = binary();
    let message = SealedMessage::parse(&binary).unwrap();
    assert_eq!(message.spelling(), Spelling::Binary);
    let text = message.to_json();
    let respelt = SealedMessage::parse(&text).unwrap();
    assert_eq!(respelt.spelling(), Spelling::Json);
    assert_eq!(respelt.header(), message.header());
    assert_eq!(respelt.to_binary(), binary);
    assert_eq!(respelt.to_json(), text);
    assert_eq!(message.to_binary(), binary);
    let header = message.header();
    assert_eq!((header.publisher, header.session, header.ts), (PUBLISHER, SESSION, NOW));
}

#[test]
fn the_json_spelling_takes_either_order_and_insignificant_white_space() {
    let text = json_text();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (key_id, data) = (value["keyId"].as_str().unwrap(), value["data"].as_str().unwrap());
    assert_eq!(text, format!(r#"{{"keyId":"{key_id}","data":"{data}"}}"#));
    for other in [
        format!(r#"{{"data":"{data}","keyId":"{key_id}"}}"#),
        format!("{{\r\n\t\"keyId\" : \"{key_id}\" , \"data\"\n:\n\"{data}\" }} \n"),
    ] {
        assert_eq!(SealedMessage::parse(other.as_bytes()).unwrap().to_json(), text.as_bytes());
    }
}

#[test]
fn every_fault_of_the_header_has_an_error_in_both_spellings() {
    let with = |at: usize, byte: u8| {
        let mut bytes = binary();
        bytes[at] = byte;
        bytes
    };
    for (altered, error) in [
        (with(0, 2), FormatError::UnknownVersion(2)),
        (with(0, 0), FormatError::UnknownVersion(0)),
        (with(1, 0), FormatError::UnknownSuite(0)),
        (with(1, 6), FormatError::UnknownSuite(6)),
        (with(1, 4), FormatError::UnknownSuite(4)),
        (with(2, 4), FormatError::UnknownFlag(4)),
        (with(2, 0x83), FormatError::UnknownFlag(0x83)),
        (with(3, 4), FormatError::UnknownContentType(4)),
    ] {
        assert_eq!(fault(spell(&altered)), error);
        assert_eq!(fault(altered), error);
    }
}

#[test]
fn a_message_is_as_long_as_its_flags_announce() {
    for (flags, least) in [(0, 72), (1, 136), (2, 73), (3, 137)] {
        let mut bytes = vec![0; least];
        (bytes[0], bytes[1], bytes[2]) = (1, 1, flags);
        assert!(SealedMessage::parse(&bytes).is_ok());
        assert!(SealedMessage::parse(&spell(&bytes)).is_ok());
        for found in HEADER_BYTES..least {
            assert_eq!(fault(&bytes[..found]), FormatError::TooShort { found, least });
            assert_eq!(fault(spell(&bytes[..found])), FormatError::TooShort { found, least });
        }
        for found in 1..HEADER_BYTES {
            assert!(matches!(fault(&bytes[..found]), FormatError::TooShort { .. }), "{found} bytes");
        }
    }
    assert_eq!(fault(b""), FormatError::Empty);
    assert_eq!(fault(vec![1; MESSAGE_BYTES_MAX + 1]), FormatError::TooLong(MESSAGE_BYTES_MAX + 1));
}

#[test]
fn every_fault_of_the_json_spelling_has_an_error() {
    let text = json_text();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (key_id, data) = (value["keyId"].as_str().unwrap(), value["data"].as_str().unwrap());
    let object = |key_id: &str, data: &str| format!(r#"{{"keyId":"{key_id}","data":"{data}"}}"#);
    let longer = |text: &str| format!("{text}A");
    let last_changed = |text: &str, by: char| format!("{}{by}", shorter(text, 1));

    assert_eq!(fault("{"), FormatError::Json(1));
    assert_eq!(fault("{}"), FormatError::MissingMember("keyId"));
    assert_eq!(fault(format!(r#"{{"keyId":"{key_id}"}}"#)), FormatError::MissingMember("data"));
    assert_eq!(fault(format!(r#"{{"data":"{data}"}}"#)), FormatError::MissingMember("keyId"));
    assert_eq!(fault(format!(r#"{{"keyId":"{key_id}",}}"#)), FormatError::Json(44));
    assert_eq!(fault(format!(r#"{{"keyId":"{key_id}" "data":"{data}"}}"#)), FormatError::Json(44));
    assert_eq!(fault(format!(r#"{{"keyId" "{key_id}","data":"{data}"}}"#)), FormatError::Json(9));
    assert_eq!(fault(format!(r#"{{keyId:"{key_id}","data":"{data}"}}"#)), FormatError::Json(1));
    assert_eq!(fault(shorter(&text, 1)), FormatError::Json(text.len() - 1));
    assert_eq!(fault(shorter(&text, 2)), FormatError::Json(text.len() - 2));
    assert_eq!(fault(object("\n", data)), FormatError::Json(10));
    assert_eq!(fault(object("\\u0041", data)), FormatError::Escape(10));
    assert_eq!(fault(r#"{"key\u0049d":"","data":""}"#), FormatError::Escape(5));
    assert_eq!(fault(r#"{"keyId":1,"data":""}"#), FormatError::NotText("keyId"));
    assert_eq!(fault(r#"{"data":null,"keyId":""}"#), FormatError::NotText("data"));
    assert_eq!(fault(text.replacen('}', r#","keyId":""}"#, 1)), FormatError::DuplicateMember("keyId"));
    assert_eq!(fault(text.replacen('}', r#","data":""}"#, 1)), FormatError::DuplicateMember("data"));
    assert_eq!(fault(r#"{"alg":"none","keyId":"","data":""}"#), FormatError::UnknownMember(1));
    assert_eq!(fault(r#"{"keyid":"","data":""}"#), FormatError::UnknownMember(1));
    assert_eq!(fault(format!("{text}x")), FormatError::TrailingBytes(text.len()));
    assert_eq!(fault(format!("{text}{text}")), FormatError::TrailingBytes(text.len()));
    assert_eq!(fault(format!("{text}\0")), FormatError::TrailingBytes(text.len()));
    assert_eq!(fault(object("", data)), FormatError::KeyIdLength(0));
    assert_eq!(fault(object(shorter(key_id, 1), data)), FormatError::KeyIdLength(31));
    assert_eq!(fault(object(&longer(key_id), data)), FormatError::KeyIdLength(33));
    assert_eq!(fault(object(&last_changed(key_id, '+'), data)), FormatError::KeyIdEncoding);
    assert_eq!(fault(object(&last_changed(key_id, '='), data)), FormatError::KeyIdEncoding);
    assert_eq!(fault(object(key_id, &data.replacen('A', "/", 1))), FormatError::DataEncoding);
    assert_eq!(fault(object(key_id, &format!("{data}=="))), FormatError::DataEncoding);
    assert_eq!(fault(object(key_id, "A")), FormatError::DataEncoding);
    assert_eq!(fault(object(key_id, "AB")), FormatError::DataEncoding);
    assert_eq!(fault(object(key_id, "")), FormatError::TooShort { found: 24, least: 72 });
    assert_eq!(fault(object(key_id, "é")), FormatError::DataEncoding);
    assert_eq!(fault(format!(" {text}")), FormatError::UnknownVersion(b' '));
    assert_eq!(fault(format!("\u{feff}{text}")), FormatError::UnknownVersion(0xef));
    assert_eq!(fault("[]"), FormatError::UnknownVersion(b'['));
}

#[test]
fn the_last_character_of_a_member_is_canonical() {
    // 32 + 2 + 16 bytes end in a character that carries four bits.
    let text = json_text();
    let last = text.len() - 3;
    let mut taken = 0;
    for byte in *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
        let mut other = text.clone().into_bytes();
        other[last] = byte;
        taken += usize::from(SealedMessage::parse(&other).is_ok());
    }
    assert_eq!(taken, 16);
}

#[test]
fn spellings_have_the_content_types_of_the_contract() {
    assert_eq!(Spelling::Json.mqtt_content_type(), "application/aups+json");
    assert_eq!(Spelling::Binary.mqtt_content_type(), "application/aups");
    assert_eq!(Spelling::default(), Spelling::Json);
}

#[test]
fn plain_text_ends_at_the_first_quote_backslash_or_control_character() {
    for length in 0..100 {
        for special in [b'"', b'\\', b'\n', 0, 0x1f] {
            let mut text = vec![b'x'; 100];
            text[length] = special;
            assert_eq!(length_of_plain_text(&text), length);
        }
        assert_eq!(length_of_plain_text(&vec![0x7f; length]), length);
        assert_eq!(length_of_plain_text(&vec![b' '; length]), length);
    }
}
