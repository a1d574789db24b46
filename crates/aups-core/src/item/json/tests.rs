use crate::{Item, ItemId, Quality, Reading, Score, Security, Source, UnixMillis};
use proptest::prelude::*;
use serde_json::value::to_raw_value;
use uuid::Uuid;

/// With whatever is written otherwise than it stands, now and then.
fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-z]{0,12}", "\\PC{0,12}", "[\\x00-\\x7f]{0,12}"].prop_map(Into::into)
}

fn score() -> impl Strategy<Value = Score> {
    (0..=100_u8).prop_map(Score::from_hundredths)
}

fn reading() -> impl Strategy<Value = Reading> {
    let optional = || prop::option::of(text());
    let further = prop::collection::vec((text(), -1e9..1e9), 0..3);
    (text(), text(), optional(), optional(), further).prop_map(|(name, value, unit, time, further)| {
        let value = to_raw_value(&value).unwrap();
        let further = further.into_iter().map(|(name, value)| (name, to_raw_value(&value).unwrap())).collect();
        Reading { name, value, unit, time, further }
    })
}

fn item() -> impl Strategy<Value = Item> {
    let source = (text(), text(), text(), any::<bool>());
    let scores = prop::array::uniform8(score());
    let times = 0..4_000_000_000_000_u64;
    (any::<u128>(), source, text(), times, reading(), scores).prop_map(|(id, source, schema, at, data, scores)| {
        let (node_id, node_type, communication_mode, registered) = source;
        let [confidentiality, integrity, privacy, authentication, accuracy, precision, timeliness, completeness] =
            scores;
        Item {
            id: ItemId(Uuid::from_u128(id)),
            source: Source { node_id, node_type, communication_mode, registered },
            schema,
            received_at: UnixMillis(at),
            data,
            security: Security { confidentiality, integrity, privacy, authentication },
            quality: Quality { accuracy, precision, timeliness, completeness },
        }
    })
}

proptest! {
    #[test]
    fn an_item_is_written_as_serde_writes_it(item in item()) {
        prop_assert_eq!(String::from_utf8(item.to_json()).unwrap(), serde_json::to_string(&item).unwrap());
    }
}

#[test]
fn every_score_is_written_as_serde_writes_it() {
    for score in (0..=100).map(Score::from_hundredths) {
        let mut out = Vec::new();
        super::put_score(&mut out, "", score);
        assert_eq!(out, serde_json::to_vec(&score).unwrap());
    }
}
