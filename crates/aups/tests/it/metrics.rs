//! What `/metrics` shows, and that the guide tells all of it.

use crate::program::{Aups, METEO, run, text};
use std::{collections::BTreeMap, fs, path::Path};

const GUIDE: &str = include_str!("../../../../docs/guide/metrics.md");

/// Not shown by what this test does, each with the reason.
const ELSEWHERE: &[&str] = &[
    // Something must fail that does not fail here.
    "aups_audit_errors_total",
    "aups_broker_barrier_errors_total",
    "aups_dead_letters_dropped_total",
    "aups_queue_failing",
    "aups_listener_refused_total",
    "aups_items_given_up_total",
    "aups_http_connections_cut_total",
    "aups_dead_letters_total",
    "aups_broker_readers_overrun_total",
    "aups_ktm_keys_refused_total",
    "aups_link_connections_refused_total",
    "aups_policy_errors_total",
    "aups_queue_errors_total",
    "aups_key_requests_dropped_total",
    "aups_mapping_times_unread_total",
    "aups_score_override_errors_total",
    // Of roles apart.
    "aups_ktm_keys_asked_ahead_total",
    "aups_ktm_lease_held",
    "aups_ktm_skew_seconds",
    "aups_link_requests_total",
    // Keys are destroyed, or reported as held by others.
    "aups_ktm_compromised_total",
    "aups_ktm_rewraps_total",
    // Policies with obligations, readers that publish or ask for what is not theirs, and retained messages.
    "aups_broker_publishes_refused_total",
    "aups_items_resealed_total",
    "aups_notifications_total",
];

/// Every documented metric with its type.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `")).filter(|row| row.starts_with("aups_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .collect()
}

/// What a server shows: names with their types, and which of them have a help text.
fn shown(aups: &Aups) -> (BTreeMap<String, String>, Vec<String>) {
    let answer = aups.request("GET", "/metrics", b"", &[]);
    let lines = answer.body.lines();
    let types = lines.clone().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let helped = lines.filter_map(|line| Some(line.strip_prefix("# HELP ")?.split_once(' ')?.0.to_owned()));
    (types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect(), helped.collect())
}

#[test]
fn the_guide_tells_what_a_server_shows_and_a_server_shows_what_it_tells() {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    aups.reader("mallory", &[]);
    let credential = aups.source("sensor1");
    let sub = |name: &str, wanted: &str| aups.run(&["sub", "--as", name, wanted, "--count", "1", "--timeout", "30"]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| sub("alice.json", "data/#"));
        while !reader.is_finished() {
            assert_eq!(aups.send(&credential, r#"{"name":"t","value":1}"#).status, 202);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let opened = reader.join().unwrap();
        assert!(opened.status.success(), "{}", text(&opened.stderr));
    });
    // Refused, unread, withheld, denied, kept out.
    assert_eq!(sub("mallory.json", "data/#").status.code(), Some(3));
    assert_eq!(aups.post("/data", r#"[{"unlike":"any reading"}]"#, &[]).status, 202);
    aups.post("/data", "{", &[]).problem(400);
    aups.ok(&["quarantine", "add", "address:192.0.2.1"]);
    let (refused, _, _) = run(&mut aups.mosquitto_sub(None, &["-t", "data/#", "-W", "5"]));
    assert!(refused != Some(0));
    aups.ok(&["user", "remove", "alice"]);

    let (types, helped) = shown(&aups);
    let documented = documented();
    for (name, kind) in &types {
        assert_eq!(documented.get(name.as_str()), Some(&kind.as_str()), "{name} is not in docs/guide/metrics.md so");
        assert!(helped.contains(name), "{name} has no help text");
    }
    let both = |name: &&&str| types.contains_key(**name) == ELSEWHERE.contains(name);
    assert_eq!(documented.keys().filter(both).collect::<Vec<_>>(), Vec::<&&str>::new(), "shown, or said why not");
}

/// Whatever the code counts is in the guide, and whatever is in the guide is counted somewhere.
#[test]
fn the_guide_tells_what_the_code_counts() {
    let mut counted = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![crates.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let uses =
                    ["counter!(", "gauge!(", "histogram!("].into_iter().flat_map(|name| text.split(name).skip(1));
                let names = uses.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                counted.extend(names.map(ToOwned::to_owned));
            }
        }
    }
    counted.sort();
    counted.dedup();
    assert_eq!(counted, documented().into_keys().collect::<Vec<_>>());
}
