use super::*;

const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 32, passes: 3, lanes: 4 };

fn key(passphrase: &str, salt: u8, cost: PassphraseCost) -> [u8; 32] {
    let passphrase = SecretBytes::from_vec(passphrase.as_bytes().to_vec());
    *passphrase_key(&passphrase, &[salt; SALT_BYTES], cost).unwrap().expose()
}

/// Made with another implementation: Argon2id of Python's `cryptography` (OpenSSL), at our default cost.
#[test]
fn another_implementation_makes_the_same_key() {
    let key = passphrase_key(
        &SecretBytes::from_vec(b"a long passphrase".to_vec()),
        b"0123456789abcdef",
        PassphraseCost::default(),
    );
    let hex = key.unwrap().expose().map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(hex, "174bbee7d0871833da79d5b10127a0153b55fb6cd3b6a3c1a14dfc286ac15b59");
}

#[test]
fn passphrase_salt_and_each_cost_make_another_key() {
    let first = key("a long passphrase", 1, CHEAP);
    assert_eq!(first, key("a long passphrase", 1, CHEAP));
    let others = [
        key("a long passphrasf", 1, CHEAP),
        key("a long passphrase", 2, CHEAP),
        key("a long passphrase", 1, PassphraseCost { memory_kib: 64, ..CHEAP }),
        key("a long passphrase", 1, PassphraseCost { passes: 4, ..CHEAP }),
        key("a long passphrase", 1, PassphraseCost { lanes: 2, ..CHEAP }),
    ];
    assert!(others.iter().all(|other| *other != first));
}

#[test]
fn a_cost_that_would_exhaust_the_machine_or_protects_nothing_is_refused() {
    let passphrase = SecretBytes::from_vec(b"a long passphrase".to_vec());
    for cost in [
        PassphraseCost { memory_kib: MEMORY_KIB_MAX + 1, ..CHEAP },
        PassphraseCost { passes: PASSES_MAX + 1, ..CHEAP },
        PassphraseCost { lanes: LANES_MAX + 1, memory_kib: MEMORY_KIB_MAX, ..CHEAP },
        PassphraseCost { memory_kib: 0, ..CHEAP },
        PassphraseCost { passes: 0, ..CHEAP },
        PassphraseCost { lanes: 0, ..CHEAP },
    ] {
        assert_eq!(passphrase_key(&passphrase, &[0; SALT_BYTES], cost).unwrap_err(), PassphraseCostError);
    }
}
