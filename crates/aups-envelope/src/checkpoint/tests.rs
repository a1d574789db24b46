use super::*;
use aups_core::PublisherSlot;

const AT: UnixMillis = UnixMillis(1_700_000_000_000);

fn checkpoint(realm: &SigningKey) -> Checkpoint {
    Checkpoint { realm_key: realm.public(), nos: None, number: 7, hash: [3; 32], at: AT }
}

#[test]
fn a_checkpoint_is_the_realms() {
    let (realm, other) = (SigningKey::generate(), SigningKey::generate());
    let signed = checkpoint(&realm).sign(&realm);
    assert_eq!(Checkpoint::verify(&signed, Some(&realm.public())).unwrap(), checkpoint(&realm));
    assert_eq!(Checkpoint::verify(&signed, None).unwrap(), checkpoint(&realm));
    let refused = Checkpoint::verify(&signed, Some(&other.public()));
    assert!(matches!(refused, Err(CheckpointError::OtherRealm(_))));
    for forged in [checkpoint(&realm).sign(&other), format!("{signed}A"), signed.replacen('.', "..", 1)] {
        assert!(Checkpoint::verify(&forged, None).is_err(), "{forged}");
    }
    let long = "x".repeat(CHECKPOINT_BYTES_MAX + 1);
    assert!(matches!(Checkpoint::verify(&long, None), Err(CheckpointError::TooLong(_))));
}

#[test]
fn a_nos_signs_with_a_certificate_of_that_time() {
    let (realm, nos) = (SigningKey::generate(), SigningKey::generate());
    let certified = |by: &SigningKey, iat: UnixMillis| {
        let certificate = Certificate {
            nos: "nos-1".parse().unwrap(),
            publisher: PublisherSlot(1),
            signing_key: nos.public(),
            iat,
            exp: UnixMillis(iat.0 + 1_000),
        };
        Checkpoint { nos: Some(certificate.issue(by)), ..checkpoint(&realm) }
    };
    let verified = |checkpoint: &Checkpoint, by| Checkpoint::verify(&checkpoint.sign(by), Some(&realm.public()));
    let good = certified(&realm, AT);
    assert_eq!(verified(&good, &nos).unwrap(), good);
    assert!(matches!(verified(&good, &realm), Err(CheckpointError::BadSignature(_))));
    let ended = certified(&realm, UnixMillis(AT.0 - 60_000));
    assert!(matches!(verified(&ended, &nos), Err(CheckpointError::Certificate(_))));
    let made_up = certified(&nos, AT);
    assert!(matches!(verified(&made_up, &nos), Err(CheckpointError::Certificate(_))));
}
