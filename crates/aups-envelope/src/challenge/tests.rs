use super::*;

const LIFE: Duration = Duration::from_mins(1);
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn alice() -> Sub {
    "alice".parse().unwrap()
}

#[test]
fn a_challenge_is_good_for_its_life_and_its_reader() {
    let key = ChallengeKey::generate();
    let challenge = key.issue(&alice(), NOW, LIFE);
    assert_eq!(key.verify(&challenge, &alice(), NOW), Ok(()));
    assert_eq!(key.verify(&challenge, &alice(), NOW.plus(LIFE)), Ok(()));
    assert_eq!(key.verify(&challenge, &alice(), UnixMillis(NOW.0 + 60_001)), Err(ChallengeError::Expired));
    assert_eq!(key.verify(&challenge, &"bob".parse().unwrap(), NOW), Err(ChallengeError::NotOurs));
    assert_ne!(key.issue(&alice(), NOW, LIFE), challenge);
}

#[test]
fn only_its_own_challenges_are_taken_and_none_that_was_changed() {
    let key = ChallengeKey::generate();
    let challenge = key.issue(&alice(), NOW, LIFE);
    assert_eq!(ChallengeKey::generate().verify(&challenge, &alice(), NOW), Err(ChallengeError::NotOurs));
    for at in 0..challenge.len() {
        let mut changed = challenge.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(key.verify(&changed, &alice(), NOW), Err(ChallengeError::NotOurs), "character {at}");
    }
    for bad in ["", "A", &format!("{challenge}AAAA")] {
        assert_eq!(key.verify(bad, &alice(), NOW), Err(ChallengeError::NotOurs));
    }
}

#[test]
fn processes_that_share_a_key_share_challenges() {
    let key = Secret::random();
    let challenge = ChallengeKey::new(&key).issue(&alice(), NOW, LIFE);
    assert_eq!(ChallengeKey::new(&key).verify(&challenge, &alice(), NOW), Ok(()));
}
