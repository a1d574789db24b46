use super::*;
use crate::{Config, config};
use aups_core::ManualClock;

const START: UnixMillis = UnixMillis(1_780_000_000_000);

fn quarantine(rules: QuarantineRules) -> Quarantine {
    let config = Config { quarantine: rules, ..Config::default() };
    Quarantine::new(config::fixed(config).unwrap(), Arc::new(ManualClock::at(START)))
}

/// So many points that the numbers below are easy to follow.
fn rules() -> QuarantineRules {
    let points = Points { wrong_credential: 5, replay: 5, ..Points::default() };
    QuarantineRules { threshold: 100, points, ..QuarantineRules::default() }
}

fn address(text: &str) -> Accused<'static> {
    Accused::Address(text.parse().unwrap())
}

/// So many offences, one every so often.
async fn offend(quarantine: &Quarantine, who: Accused<'_>, offence: Offence, count: u32, every: Duration) {
    for _ in 0..count {
        quarantine.offence(who, offence);
        time::advance(every).await;
    }
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn too_many_offences_keep_a_sender_out_each_time_for_twice_as_long() {
    let quarantine = quarantine(QuarantineRules { longest_seconds: 50, ..rules() });
    let attacker = address("192.0.2.1");
    for seconds in [10, 20, 40, 50, 50] {
        offend(&quarantine, attacker, Offence::OverQuota, 99, NOW).await;
        assert_eq!(quarantine.check(attacker), Ok(true), "known, and let in");
        offend(&quarantine, attacker, Offence::OverQuota, 1, NOW).await;
        assert_eq!(quarantine.check(attacker), Err(Duration::from_secs(seconds)));
        assert_eq!(quarantine.check(address("192.0.2.2")), Ok(false));
        offend(&quarantine, attacker, Offence::WrongCredential, 1_000, NOW).await;
        time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(quarantine.check(attacker), Ok(true), "what it did meanwhile makes it no longer");
    }
    assert_eq!(QuarantineRules::default().length(u32::MAX), Duration::from_hours(1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_as_it_is_told_is_never_kept_out() {
    let quarantine = quarantine(rules());
    offend(&quarantine, address("192.0.2.1"), Offence::OverQuota, 10_000, Duration::from_secs(1)).await;
    assert_eq!(quarantine.list(), []);
    offend(&quarantine, address("192.0.2.2"), Offence::OverQuota, 200, Duration::from_millis(100)).await;
    assert_eq!(quarantine.list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn quarantines_are_forgotten_slowly() {
    let quarantine = quarantine(QuarantineRules { forget_seconds: 100, ..rules() });
    let attacker = address("192.0.2.1");
    let enter = async |seconds| {
        offend(&quarantine, attacker, Offence::ClaimToken, 10, NOW).await;
        assert_eq!(quarantine.check(attacker), Err(Duration::from_secs(seconds)));
        time::advance(Duration::from_secs(seconds)).await;
        quarantine.sweep(Instant::now());
    };
    enter(10).await;
    enter(20).await;
    time::advance(Duration::from_secs(150)).await;
    enter(20).await;
    time::advance(Duration::from_secs(190)).await;
    quarantine.sweep(Instant::now());
    assert_eq!(quarantine.check(attacker), Ok(true));
    time::advance(Duration::from_secs(20)).await;
    quarantine.sweep(Instant::now());
    assert_eq!(quarantine.check(attacker), Ok(false), "nothing is left to forgive");
    assert_eq!(quarantine.known.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn one_malformed_body_in_five_is_forgiven() {
    let quarantine = quarantine(rules());
    let node: NodeId = "s1".parse().unwrap();
    let source = Accused::Source(&node);
    let send = async |good: u32, count| {
        for _ in 0..count {
            quarantine.offence(source, Offence::Malformed);
            (0..good).for_each(|_| quarantine.good(source));
        }
    };
    send(4, 1_000).await;
    assert_eq!(quarantine.check(source), Ok(true));
    offend(&quarantine, source, Offence::OverQuota, 60, NOW).await;
    (0..1_000).for_each(|_| quarantine.good(source));
    send(3, 200).await;
    assert!(quarantine.check(source).is_err(), "good bodies make good for malformed ones, and for nothing else");
}

#[tokio::test(start_paused = true)]
async fn a_source_and_its_address_answer_each_for_itself() {
    let quarantine = quarantine(rules());
    let node: NodeId = "192.0.2.1".parse().unwrap();
    offend(&quarantine, address("2001:db8::1"), Offence::WrongCredential, 20, NOW).await;
    offend(&quarantine, address("192.0.2.1"), Offence::WrongCredential, 20, NOW).await;
    assert!(quarantine.check(address("2001:db8::2")).is_err(), "the /64 is one sender");
    assert!(quarantine.check(address("::ffff:192.0.2.1")).is_err());
    assert_eq!(quarantine.check(Accused::Source(&node)), Ok(false), "a source of that very name is let in");
    assert_eq!(quarantine.check(address("2001:db8:0:1::")), Ok(false));
    let who: Vec<_> = quarantine.list().iter().map(|told| told.who.to_string()).collect();
    assert_eq!(who, ["address:192.0.2.1", "address:2001:db8::"]);
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told_to_who_follows() {
    let quarantine = Arc::new(quarantine(rules()));
    let mut changes = quarantine.follow();
    let keeper = tokio::spawn(Arc::clone(&quarantine).keep());
    offend(&quarantine, address("192.0.2.1"), Offence::Replay, 20, NOW).await;
    let told = Quarantined {
        who: "address:192.0.2.1".parse().unwrap(),
        since: START,
        until: START.plus(Duration::from_secs(10)),
        reason: "replay".into(),
        times: 1,
    };
    assert_eq!(changes.recv().await.unwrap(), QuarantineChange::Entered(told.clone()));
    let before = Instant::now();
    assert_eq!(changes.recv().await.unwrap(), QuarantineChange::Left { who: told.who, by_hand: false });
    let took = Instant::now() - before;
    assert!((Duration::from_secs(10)..=Duration::from_secs(11)).contains(&took), "{took:?}");
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn an_administrator_puts_in_and_lets_out() {
    let quarantine = quarantine(QuarantineRules { enabled: false, ..rules() });
    let mut changes = quarantine.follow();
    let who: Party = "source:s1".parse().unwrap();
    let node: NodeId = "s1".parse().unwrap();
    offend(&quarantine, Accused::Source(&node), Offence::WrongCredential, 1_000, NOW).await;
    assert_eq!(quarantine.check(Accused::Source(&node)), Ok(false), "not enabled");
    assert!(!quarantine.release(&who));
    let told = quarantine.put(&who, 60, "broken").unwrap();
    assert_eq!((&*told.reason, told.times, told.until), ("broken", 0, START.plus(Duration::from_mins(1))));
    assert_eq!(quarantine.put(&who, 120, "still").unwrap().until, START.plus(Duration::from_mins(2)));
    assert_eq!(quarantine.check(Accused::Source(&node)), Err(Duration::from_mins(2)));
    assert!(quarantine.release(&who));
    assert!(!quarantine.release(&who));
    assert_eq!(quarantine.check(Accused::Source(&node)), Ok(false));
    assert!(matches!(changes.recv().await.unwrap(), QuarantineChange::Entered(_)));
    assert!(matches!(changes.recv().await.unwrap(), QuarantineChange::Entered(_)));
    assert_eq!(changes.recv().await.unwrap(), QuarantineChange::Left { who, by_hand: true });
    assert_eq!(quarantine.records().inside, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_kept_out_for_what_made_up_addresses_do() {
    let quarantine = quarantine(rules());
    for number in 0..u32::try_from(SENDERS_MAX).unwrap() {
        quarantine.offence(Accused::Address(IpAddr::V4((0x0a00_0000 | number).into())), Offence::OverQuota);
    }
    offend(&quarantine, address("11.0.0.1"), Offence::OverQuota, 200, NOW).await;
    assert_eq!(quarantine.check(address("11.0.0.1")), Ok(false), "there is no room to know anything of it");
    assert_eq!(quarantine.check(address("10.0.0.1")), Ok(true));
    assert_eq!(quarantine.records().len(), SENDERS_MAX);
    time::advance(Duration::from_mins(5)).await;
    quarantine.sweep(Instant::now());
    assert_eq!(quarantine.records().len(), 0, "of those who did little, nothing is kept");
}

#[test]
fn a_sender_is_named_by_its_kind() {
    for text in ["source:s1", "address:192.0.2.1", "address:2001:db8:1:2::"] {
        let party: Party = text.parse().unwrap();
        assert_eq!(party.to_string(), text);
        assert_eq!(serde_json::from_str::<Party>(&serde_json::to_string(&party).unwrap()).unwrap(), party);
    }
    assert_eq!("address:2001:db8::7".parse::<Party>().unwrap().to_string(), "address:2001:db8::");
    for wrong in ["", "s1", "192.0.2.1", "source:", "source:a/b", "address:", "address:s1", "address:192.0.2.1/24"] {
        assert!(wrong.parse::<Party>().is_err(), "{wrong}");
    }
}

#[test]
fn a_refusal_accuses_its_sender_or_nobody() {
    for (status, code, offence) in [
        (429, "quota", Some(Offence::OverQuota)),
        (429, "quota-total", None),
        (429, "quota-address", None),
        (429, "quarantined", None),
        (401, "not-authenticated", Some(Offence::WrongCredential)),
        (401, "claim-token", Some(Offence::ClaimToken)),
        (409, "replayed", Some(Offence::Replay)),
        (409, "node-exists", None),
        (400, "malformed-json", Some(Offence::Malformed)),
        (400, "incomplete", None),
        (408, "too-slow", None),
        (413, "too-large", Some(Offence::Malformed)),
        (415, "media-type", Some(Offence::Malformed)),
        (503, "queue-full", None),
    ] {
        assert_eq!(Offence::of(status, code), offence, "{status} {code}");
    }
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    let pointers = |text: &str| {
        let rules: QuarantineRules = serde_json::from_str(text).unwrap();
        let mut errors = Vec::new();
        rules.check(&mut errors);
        errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
    };
    assert!(pointers("{}").is_empty());
    assert!(pointers(r#"{"enabled":false,"points":{"malformed":0}}"#).is_empty());
    assert_eq!(pointers(r#"{"threshold":0}"#), ["/quarantine/threshold"]);
    assert_eq!(pointers(r#"{"halfLifeSeconds":0}"#), ["/quarantine/halfLifeSeconds"]);
    assert_eq!(pointers(r#"{"forgetSeconds":4000000}"#), ["/quarantine/forgetSeconds"]);
    assert_eq!(pointers(r#"{"firstSeconds":20,"longestSeconds":10}"#), ["/quarantine/longestSeconds"]);
    assert!(serde_json::from_str::<QuarantineRules>(r#"{"treshold":1}"#).is_err());
}
