use super::*;

fn read(annotation: &str, value: &str) -> Result<Terms, Vec<AnnotationFault>> {
    Terms::read([(annotation, value)].into_iter())
}

#[test]
fn lives_are_whole_numbers_with_a_unit() {
    for (text, life_ms) in
        [("1000ms", 1_000), ("1s", 1_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000), ("24h", 86_400_000)]
    {
        assert_eq!(read("keylife", text).unwrap().life_ms(), life_ms, "{text}");
    }
    for text in
        ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "999ms", "0s", "25h", "2d", "1h30m", "99999999999999999999d", "5µs"]
    {
        let faults = read("keylife", text).unwrap_err();
        assert!(faults[0].help.contains("from 1s to 24h"), "{text}: {faults:?}");
    }
}

#[test]
fn obligations_come_alone_or_as_a_list() {
    let obligations = |text| read("obligation", text).map(|terms| terms.obligations);
    let obliged = |sign, pad_bytes| Obligations { sign, pad_bytes, ..Obligations::default() };
    assert_eq!(obligations("sign"), Ok(obliged(true, 0)));
    assert_eq!(obligations("pad:2"), Ok(obliged(false, 2)));
    assert_eq!(obligations("sign, pad:256,pad:64"), Ok(obliged(true, 256)));
    let all = obligations("redact:/data/gps/lon, notify:alerts/hot,redact:/data/gps/lat,sign").unwrap();
    let texts = Obligations {
        redact: ["/data/gps/lat".parse().unwrap(), "/data/gps/lon".parse().unwrap()].into(),
        notify: ["alerts/hot".parse().unwrap()].into(),
        ..obliged(true, 0)
    };
    assert_eq!(all, texts);
    for text in ["", "sing", "sign,", "sign:", "pad", "pad:", "pad:1", "pad:4097", "pad:x", "pad:70000", "Sign"] {
        assert!(obligations(text).is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_redacted_or_notified_is_refused_with_the_reason() {
    for (text, told) in [
        ("redact", "unknown obligation `redact`"),
        ("redact:", "points below /data"),
        ("redact:/source/nodeId", "points below /data"),
        ("redact:/data/value", "no item without"),
        ("redact:/data/a~2", "~ is written ~0"),
        ("notify:", "at least one character"),
        ("notify:alerts/#", "neither in a topic name"),
        ("notify:aups/alerts", "belong to the system"),
        ("notify:aups", "belong to the system"),
        ("notify:$SYS/alerts", "belong to the broker"),
        ("log:alerts", "the obligations are `sign`, `pad:<block>`, `redact:<JSON pointer>` and `notify:<topic>`"),
    ] {
        let faults = read("obligation", text).unwrap_err();
        assert!(format!("{} {}", faults[0].message, faults[0].help).contains(told), "{text}: {faults:?}");
    }
}

#[test]
fn one_policy_redacts_and_notifies_a_bounded_number_of_places() {
    let list = |of: &str, count| (0..count).map(|n| format!("{of}{n}")).collect::<Vec<_>>().join(",");
    for of in ["redact:/data/m", "notify:t"] {
        assert!(read("obligation", &list(of, OBLIGATIONS_MAX)).is_ok());
        let faults = read("obligation", &list(of, OBLIGATIONS_MAX + 1)).unwrap_err();
        assert!(faults[0].message.contains("at most 16"), "{faults:?}");
    }
}

#[test]
fn unknown_annotations_are_refused_and_descriptive_ones_taken() {
    assert!(read("title", "anything").is_ok());
    assert!(read("id", "meteo").is_ok());
    assert!(read("suite", "chacha20-poly1305").is_ok());
    for (annotation, value) in [("priority", "10"), ("Id", "x"), ("suite", "aes-128-gcm"), ("id", ""), ("id", "a\nb")] {
        assert_eq!(read(annotation, value).unwrap_err()[0].annotation, annotation);
    }
    assert!(read("id", &"x".repeat(POLICY_NAME_CHARS_MAX)).is_ok());
    assert!(read("id", &"x".repeat(POLICY_NAME_CHARS_MAX + 1)).is_err());
}

#[test]
fn every_fault_of_a_policy_is_told() {
    let faults = Terms::read([("one", ""), ("keylife", "x"), ("author", "me")].into_iter()).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.annotation.as_str()).collect::<Vec<_>>(), ["one", "keylife"]);
}

#[test]
fn a_union_has_each_obligation_the_larger_block_and_the_shortest_stated_life() {
    let terms = |annotations: &[(&'static str, &'static str)]| Terms::read(annotations.iter().copied()).unwrap();
    let none = Terms::default();
    let one = terms(&[
        ("keylife", "1h"),
        ("obligation", "sign, pad:64, redact:/data/a, redact:/data/b, notify:a"),
        ("suite", "aes-256-gcm"),
    ]);
    let two = terms(&[
        ("keylife", "2h"),
        ("obligation", "pad:256, redact:/data/b, notify:b, notify:a"),
        ("suite", "chacha20-poly1305"),
    ]);
    assert_eq!((none.life_ms(), none.suite()), (300_000, Suite::Aes256Gcm));
    let union = |of: &[&Terms]| {
        of.iter().fold(none.clone(), |mut union, terms| {
            union.add(terms);
            union
        })
    };
    assert_eq!(union(&[&one]).life_ms(), 3_600_000, "a policy that says nothing asks for nothing");
    for union in [union(&[&one, &two]), union(&[&two, &one]), union(&[&none, &one, &none, &two])] {
        let obligations = &union.obligations;
        assert_eq!((obligations.sign, obligations.pad_bytes), (true, 256));
        assert_eq!((obligations.redact.len(), obligations.notify.len()), (2, 2), "those of both");
        assert_eq!((union.life_ms(), union.suite()), (3_600_000, Suite::ChaCha20Poly1305));
    }
}

#[test]
fn among_several_suites_no_policy_gets_a_shorter_key_than_it_asked_for() {
    let suite_of = |suites: &[&'static str]| {
        let mut union = Terms::default();
        for suite in suites {
            union.add(&read("suite", suite).unwrap());
        }
        union.suite()
    };
    let (gcm, chacha, ascon) = ("aes-256-gcm", "chacha20-poly1305", "ascon-aead128");
    assert_eq!(suite_of(&[ascon]), Suite::AsconAead128, "the default is no demand");
    assert_eq!(suite_of(&[ascon, ascon]), Suite::AsconAead128);
    for order in [[ascon, gcm], [gcm, ascon]] {
        assert_eq!(suite_of(&order), Suite::Aes256Gcm);
    }
    for order in [[ascon, chacha, gcm], [chacha, gcm, ascon], [gcm, ascon, chacha]] {
        assert_eq!(suite_of(&order), Suite::ChaCha20Poly1305);
    }
}
