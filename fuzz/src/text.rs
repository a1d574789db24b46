//! Ids, keys, tokens, topics, times: what is one has one spelling only.

use crate::fixture::{NOW, alice, realm, secret, signing};
use aups_core::{
    Filter, KeyId, NodeId, Redaction, ScopeId, Sub, Suite, Topic, UnixMillis, parse_duration, topic::TopicTemplate,
};
use aups_envelope::{VerifyingKey, b64, enrol::EnrolmentToken, key_request::ChallengeKey};
use std::{fmt::Display, str::FromStr, sync::LazyLock, time::Duration};

static CHALLENGES: LazyLock<ChallengeKey> = LazyLock::new(|| ChallengeKey::new(&secret("challenges")));
static CHALLENGE: LazyLock<String> = LazyLock::new(|| CHALLENGES.issue(&alice(), NOW, Duration::from_mins(1)));

/// What can be read is written as it was read.
fn one_spelling<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(bytes) = b64::decode(text) {
        assert_eq!(b64::encode(&bytes), text);
    }
    one_spelling::<KeyId>(text);
    one_spelling::<ScopeId>(text);
    one_spelling::<VerifyingKey>(text);
    one_spelling::<EnrolmentToken>(text);
    one_spelling::<Suite>(text);
    one_spelling::<Sub>(text);
    one_spelling::<NodeId>(text);
    one_spelling::<Topic>(text);
    one_spelling::<Filter>(text);
    if CHALLENGES.verify(text, &alice(), NOW).is_ok() {
        assert_eq!(text, *CHALLENGE, "a challenge that nobody issued was taken");
    }
    if let Some((filter, topic)) = text.split_once('\n')
        && let (Ok(filter), Ok(topic)) = (filter.parse::<Filter>(), topic.parse::<Topic>())
        && !filter.as_str().contains(['+', '#'])
    {
        assert_eq!(filter.matches(&topic), filter.matched() == topic.as_str(), "a filter without wildcards is a topic");
    }
    if let Ok(template) = text.parse::<TopicTemplate>()
        && let Ok(topic) = template.fill("a/b+#", "")
    {
        assert!(topic.as_str().parse::<Topic>().is_ok());
    }
    // Whether they are times, lives and pointers at all is all that can be said of any text.
    let _ = (UnixMillis::parse_rfc3339(text), parse_duration(text), text.parse::<Redaction>());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let token = EnrolmentToken::new(secret("token"), &signing("realm").public()).to_string();
    let texts = [
        realm().to_string(),
        token,
        b64::encode(&[0; 48]),
        "c2NvcGV0YWcAAAAJAADlgtgUH5hDICJQ".into(),
        "data/{nodeId}/{name}".into(),
        "$share/group/a/+/#".into(),
        "a/b\na/b".into(),
        "2026-01-01T00:01:40.000Z".into(),
        "5m".into(),
        "/data/gps~1lat".into(),
    ];
    texts.map(String::into_bytes).into()
}
