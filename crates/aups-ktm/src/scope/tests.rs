use super::*;
use crate::fixture::{LIFE, MINUTE, NOW, kek, spec};
use aups_core::RealmId;
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

const REALM: RealmId = RealmId::from_bytes([3; 32]);
const TAG: ScopeTag = ScopeTag::from_bytes([4; 8]);

impl Scope {
    pub(crate) fn salt(&self) -> [u8; 32] {
        *self.salt.expose()
    }
}

fn scope(life: Duration, created: UnixMillis) -> Scope {
    Scope::new(&spec(REALM, 0, life), TAG, created)
}

fn bumped(scope: &Scope, at: UnixMillis) -> Scope {
    scope.with_bumps(scope.bumps.bumped(at, UnixMillis(0)).unwrap())
}

fn bumps(times: &[(u16, u64)]) -> Bumps {
    let bumps = times.iter().map(|(bump, at)| Bumped { bump: Bump(*bump), at: UnixMillis(*at) });
    Bumps::try_from(bumps.collect::<Vec<_>>()).unwrap()
}

proptest! {
    /// The rule itself, instant by instant: what a NOS could have been given at any time, and what it will be given next.
    #[test]
    fn served_is_what_was_is_or_is_to_be_current(
        life_ms in 4_u64..12,
        steps in prop::collection::vec(0_u64..30, 0..6),
        lasts in 0_u64..40,
    ) {
        let mut spec = spec(REALM, 0, LIFE);
        spec.life_ms = life_ms;
        // Early enough for lives of milliseconds: epochs are 32 bits.
        let created = UnixMillis(100_000);
        let mut scope = Scope::new(&spec, TAG, created);
        let mut current = BTreeSet::new();
        let mut now = created;
        for step in steps.into_iter().map(Some).chain([None]) {
            let end = UnixMillis(now.0 + step.unwrap_or(lasts));
            for instant in now.0..=end.0 {
                current.insert((scope.epoch_at(UnixMillis(instant)), scope.bumps.highest()));
            }
            now = end;
            if step.is_some() {
                scope = bumped(&scope, now);
            }
        }
        let (epoch, highest) = (scope.epoch_at(now), scope.bumps.highest());
        current.insert((following(epoch), highest));
        let first = scope.epoch_at(created).0;
        for epoch in (first - 3..=epoch.0 + 3).map(Epoch) {
            for bump in (0..=highest.0 + 2).map(Bump) {
                let served = scope.serves(epoch, bump, now);
                prop_assert_eq!(served, current.contains(&(epoch, bump)), "{:?} {:?}", epoch, bump);
            }
        }
    }

    #[test]
    fn bumps_come_back_from_json(times in prop::collection::vec(0_u64..1_000_000, 1..20)) {
        let mut bumps = Bumps::starting(UnixMillis(times[0]));
        for at in times {
            bumps = bumps.bumped(UnixMillis(at), UnixMillis(0)).unwrap();
        }
        let json = serde_json::to_string(&bumps).unwrap();
        prop_assert_eq!(serde_json::from_str::<Bumps>(&json).unwrap(), bumps);
    }
}

#[test]
fn bumps_out_of_order_are_not_read() {
    for json in [
        "[]",
        r#"[{"bump":2,"at":5},{"bump":2,"at":6}]"#,
        r#"[{"bump":1,"at":5},{"bump":0,"at":6}]"#,
        r#"[{"bump":0,"at":5},{"bump":1,"at":4}]"#,
        r#"[{"bump":0,"at":5,"by":"x"}]"#,
    ] {
        assert!(serde_json::from_str::<Bumps>(json).is_err(), "{json}");
    }
}

#[test]
fn a_bump_never_lies_before_the_one_before() {
    let bumps = bumps(&[(0, 100)]).bumped(UnixMillis(90), UnixMillis(0)).unwrap();
    assert_eq!(bumps.window(Bump(0)), Some(Window { begins: UnixMillis(100), ends: Some(UnixMillis(100)) }));
    assert_eq!(bumps.window(Bump(1)), Some(Window { begins: UnixMillis(100), ends: None }));
    assert_eq!(bumps.window(Bump(2)), None);
}

#[test]
fn bumps_that_ended_long_ago_are_forgotten() {
    let bumps = bumps(&[(3, 10), (4, 20), (5, 30), (6, 40)]);
    let after = |forget_before| {
        let bumps = bumps.bumped(UnixMillis(50), UnixMillis(forget_before)).unwrap();
        bumps.oldest_first().map(|bumped| bumped.bump.0).collect::<Vec<_>>()
    };
    assert_eq!(after(0), [3, 4, 5, 6, 7]);
    assert_eq!(after(20), [3, 4, 5, 6, 7], "bump 3 ended at 20");
    assert_eq!(after(21), [4, 5, 6, 7]);
    assert_eq!(after(1_000), [6, 7], "the one that ends now was the highest until now");
}

#[test]
fn only_so_many_bumps_are_remembered() {
    let mut bumps = Bumps::starting(NOW);
    for _ in 0..BUMPS_REMEMBERED_MAX + 10 {
        bumps = bumps.bumped(NOW, UnixMillis(0)).unwrap();
    }
    assert_eq!(bumps.oldest_first().count(), BUMPS_REMEMBERED_MAX);
    assert_eq!(usize::from(bumps.highest().0), BUMPS_REMEMBERED_MAX + 10);
    assert_eq!(bumps.window(Bump(10)), None);
    assert!(bumps.window(Bump(11)).is_some());
}

#[test]
fn a_bump_counter_has_an_end() {
    assert_eq!(bumps(&[(u16::MAX, 0)]).bumped(NOW, UnixMillis(0)), None);
}

#[test]
fn epochs_of_a_thousand_scopes_do_not_end_together() {
    let mut ends = vec![0_u32; usize::try_from(LIFE.as_secs()).unwrap()];
    for _ in 0..1_000 {
        let scope = scope(LIFE, NOW);
        let exp = schedule::validity(scope.epoch_at(NOW), scope.phase_ms, scope.spec.life_ms, 0).exp;
        ends[usize::try_from(exp.since(NOW).as_millis().div_ceil(1_000) - 1).unwrap()] += 1;
    }
    // 1,000 over 300 seconds: 3.3 each. 20 in one second by chance: below 10⁻⁷.
    assert!(ends.iter().all(|ends| *ends < 20), "{ends:?}");
    assert!(ends.iter().filter(|ends| **ends > 0).count() > 250);
}

#[test]
fn a_record_whose_terms_were_changed_is_refused() {
    let original = scope(LIFE, NOW);
    let key = key(&original.spec.id);
    let open = |record: &serde_json::Value| {
        Scope::open(serde_json::from_value(record.clone()).unwrap(), &key, 1, &kek()).map(drop)
    };
    let record = serde_json::to_value(original.record(&kek())).unwrap();
    open(&record).unwrap();
    for (member, value) in [
        ("app", "permit(principal, action, resource);".into()),
        ("user", "permit(principal, action, resource);".into()),
        ("obligations", serde_json::json!({"sign": false, "pad_bytes": 32})),
        ("obligations", serde_json::json!({"sign": true, "pad_bytes": 32, "redact": ["/data/gps"]})),
        ("obligations", serde_json::json!({"sign": true, "pad_bytes": 32, "notify": ["alerts"]})),
        ("suite", 2.into()),
        ("lifeMs", 1_000.into()),
    ] {
        let mut changed = record.clone();
        changed["spec"][member] = value;
        assert!(matches!(open(&changed), Err(KtmError::Altered { .. })), "{member}");
    }
    let mut changed = record.clone();
    changed["tag"] = ScopeTag::from_bytes([5; 8]).to_string().into();
    assert!(matches!(open(&changed), Err(KtmError::Altered { .. })));
    let elsewhere = Scope::open(original.record(&kek()), &format!("{key}x"), 1, &kek());
    assert!(matches!(elsewhere, Err(KtmError::Altered { .. })));
}

#[test]
fn times_ahead_of_a_clock_that_was_set_back_are_mended() {
    let bumps = bumps(&[(0, 10), (1, 20), (2, 30)]).not_after(UnixMillis(15));
    let times: Vec<_> = bumps.oldest_first().map(|bumped| bumped.at.0).collect();
    assert_eq!(times, [10, 15, 15]);
}

#[test]
fn debug_output_shows_no_salt() {
    let scope = bumped(&scope(LIFE, NOW), NOW.plus(MINUTE));
    let shown = format!("{scope:?}");
    assert!(shown.contains("Secret(***)"));
    assert!(!shown.contains(&format!("{:?}", scope.salt.expose())));
}

#[test]
fn marks_are_bounded_and_past_ones_are_let_go() {
    let mut compromised = Compromised::default();
    for epoch in 0..=u32::try_from(COMPROMISED_KEYS_MAX).unwrap() {
        let marked = Marked::Key(Epoch(epoch), Bump(u16::try_from(epoch).unwrap()));
        assert!(compromised.through.is_none() && !compromised.has(Epoch(epoch), Bump(9_999)));
        compromised = compromised.marking(marked, |_| true);
        assert!(compromised.has(Epoch(epoch), Bump(u16::try_from(epoch).unwrap())));
    }
    // One too many: rather every key until then than one that is forgotten.
    assert_eq!(compromised, Compromised { through: Some(Bump(1_024)), keys: Vec::new() });
    assert!(compromised.has(Epoch(5_000), Bump(0)) && !compromised.has(Epoch(5_000), Bump(1_025)));

    let some = Compromised { through: None, keys: vec![(Epoch(1), Bump(0)), (Epoch(9), Bump(3))] };
    let later = some.marking(Marked::Key(Epoch(10), Bump(3)), |epoch| epoch.0 > 5);
    assert_eq!(later.keys, [(Epoch(9), Bump(3)), (Epoch(10), Bump(3))]);
    assert_eq!(later.marking(Marked::Through(Bump(3)), |_| true).keys, []);
}
