use super::*;
use std::net::Ipv4Addr;

const FROM: UnixMillis = UnixMillis(10_000);
const TO: UnixMillis = UnixMillis(20_000);
const METEO: &str = r#"permit(principal, action == Action::"receive", resource in Topic::"data") when { principal.roles.contains("meteo") };"#;

fn reader(sub: &str, role: &str, app: Option<&str>) -> Event {
    let mut attrs = Attributes::default();
    attrs.roles.insert(role.into());
    let (sub, app) = (sub.parse().unwrap(), app.map(|app| app.parse().unwrap()));
    let kind = if sub == "panel".parse().unwrap() { ReaderKind::App } else { ReaderKind::User };
    Event::Reader { kind, sub, attrs, groups: BTreeSet::new(), app, enrolled: true }
}

fn removed(sub: &str) -> Event {
    Event::ReaderRemoved { sub: sub.parse().unwrap() }
}

fn policies(version: u64, text: &str) -> Vec<Event> {
    let (one, two) = text.split_at(text.len() / 2);
    let part = |part, text: &str| Event::PolicyText { version, part, text: text.into() };
    vec![part(0, one), part(1, two), Event::PoliciesInForce { version, parts: 2 }]
}

/// Plays these events at these times; gives `sub from-to: may` of each stretch.
fn replayed(events: impl IntoIterator<Item = (u64, Event)>) -> Result<(Readable, Vec<String>), ReplayError> {
    let mut replay = Replay::new("data/s1/t".parse().unwrap(), FROM, TO);
    for (at, event) in events {
        // As they come from a trail.
        let event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        replay.take(UnixMillis(at), event)?;
    }
    let readable = replay.finish()?;
    let shown = readable.readers.iter().map(|at| format!("{} {}-{}: {}", at.sub, at.from.0, at.to.0, at.may)).collect();
    Ok((readable, shown))
}

fn at(time: u64, events: Vec<Event>) -> impl Iterator<Item = (u64, Event)> {
    events.into_iter().map(move |event| (time, event))
}

#[test]
fn who_could_read_follows_readers_and_policies_over_the_day() {
    let before = [Event::State { lines: 0 }, reader("alice", "meteo", None), reader("bob", "gardener", None)];
    let events = at(1, before.into())
        .chain(at(5, policies(1, METEO)))
        .chain([(12_000, reader("bob", "meteo", None)), (15_000, removed("alice"))])
        .chain(at(
            18_000,
            policies(
                2,
                &METEO.replace(" when ", " when { resource.quality.accuracy.greaterThan(decimal(\"0.5\")) } when "),
            ),
        ));
    let (readable, shown) = replayed(events).unwrap();
    assert_eq!(readable.known_since, UnixMillis(1));
    assert_eq!(shown[..2], ["alice 10000-15000: every item", "bob 12000-18000: every item"]);
    assert!(shown[2].starts_with("bob 18000-20000: if ") && shown[2].contains("accuracy"), "{shown:?}");
    assert_eq!(shown.len(), 3);
}

#[test]
fn a_quiet_day_is_told_from_what_was_before() {
    let events = at(1, [vec![Event::State { lines: 0 }, reader("alice", "meteo", None)], policies(1, METEO)].concat());
    assert_eq!(replayed(events).unwrap().1, ["alice 10000-20000: every item"]);
}

#[test]
fn an_app_bounds_its_users_and_takes_them_with_it_and_who_has_no_keys_reads_nothing() {
    let panel = [reader("panel", "meteo", None), reader("carol", "meteo", Some("panel"))];
    let mut unenrolled = reader("dave", "meteo", None);
    if let Event::Reader { enrolled, .. } = &mut unenrolled {
        *enrolled = false;
    }
    let events = at(1, [vec![Event::State { lines: 0 }], panel.into(), vec![unenrolled], policies(1, METEO)].concat());
    let address = Ipv4Addr::LOCALHOST.into();
    let enrolled = Event::Enrolled { kind: ReaderKind::User, sub: "dave".parse().unwrap(), address };
    let later = [(11_000, reader("panel", "gardener", None)), (12_000, enrolled), (13_000, removed("panel"))];
    let (_, shown) = replayed(events.chain(later)).unwrap();
    let expected = ["carol 10000-11000: every item", "dave 12000-20000: every item", "panel 10000-11000: every item"];
    assert_eq!(shown, expected);
}

#[test]
fn after_a_kill_all_is_told_anew_and_counts_when_it_is_whole() {
    let start = at(1, [vec![Event::State { lines: 0 }, reader("alice", "meteo", None)], policies(1, METEO)].concat());
    let anew = [vec![Event::State { lines: 4 }, reader("bob", "meteo", None)], policies(1, METEO)].concat();
    let (readable, shown) = replayed(start.chain(at(15_000, anew))).unwrap();
    assert_eq!(shown, ["alice 10000-15000: every item", "bob 15000-20000: every item"]);
    assert_eq!(readable.told_anew, [UnixMillis(15_000)]);
}

#[test]
fn what_is_not_told_is_not_made_up() {
    assert!(matches!(replayed([(1, reader("alice", "meteo", None))]), Err(ReplayError::Untold)));
    let late = at(30_000, vec![Event::State { lines: 0 }]);
    assert!(matches!(replayed(late), Err(ReplayError::Later(UnixMillis(30_000)))));
    let garbled = at(1, vec![Event::State { lines: 0 }, Event::PoliciesInForce { version: 3, parts: 2 }]);
    assert!(matches!(replayed(garbled), Err(ReplayError::Policies(3))));
    let (readable, shown) = replayed(at(
        15_000,
        [vec![Event::State { lines: 0 }, reader("alice", "meteo", None)], policies(1, METEO)].concat(),
    ))
    .unwrap();
    assert_eq!((readable.known_since, shown), (UnixMillis(15_000), vec!["alice 15000-20000: every item".to_owned()]));
}
