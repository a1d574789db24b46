use crate::{
    Allowance, Config, Rate,
    config::Quotas,
    fixture::{Rig, data, from, lines, post, quota, with_bearer},
    quarantine::LATE_ANSWERS_MAX,
};
use aups_envelope::b64;
use axum::{
    body::Body,
    http::{Request, StatusCode, Version, header},
};
use bytes::Bytes;
use futures_util::stream;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time;

const ATTACKER: [u8; 4] = [198, 51, 100, 7];

/// A body without an end that counts what is read of it.
fn endless() -> (Body, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let parts = std::iter::repeat_with(move || {
        counted.fetch_add(1_024, Ordering::Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(&[b'1'; 1_024]))
    });
    (Body::from_stream(stream::iter(parts)), read)
}

fn wrong_credential(body: impl Into<Body>) -> Request<Body> {
    with_bearer(from(ATTACKER, data(body)), &b64::encode(&[0; 32]))
}

#[tokio::test(start_paused = true)]
async fn who_guesses_credentials_is_kept_out_and_others_at_its_address_are_not() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    for _ in 0..150 {
        assert_eq!(rig.send(wrong_credential("1")).await.problem(), (401, "not-authenticated"));
    }
    let (body, read) = endless();
    let answer = rig.send(wrong_credential(body)).await;
    assert_eq!((answer.problem(), answer.header(header::RETRY_AFTER)), ((429, "quarantined"), "10"));
    assert_eq!(answer.header(header::CONNECTION), "close");
    assert_eq!(read.load(Ordering::Relaxed), 0, "nothing of the body is read");
    for request in [data("1"), lines("1\n"), post("/registration", "{}"), with_bearer(data("1"), "none at all")] {
        assert_eq!(rig.send(from(ATTACKER, request)).await.problem(), (429, "quarantined"));
    }
    assert_eq!(rig.send(from(ATTACKER, with_bearer(data("1"), &credential))).await.accepted(), 1);
    assert_eq!(rig.send(from([198, 51, 100, 8], data("1"))).await.accepted(), 1);
    time::advance(Duration::from_secs(10)).await;
    assert_eq!(rig.send(from(ATTACKER, data("1"))).await.accepted(), 1);
    assert_eq!(rig.nos.quarantine().list(), []);
}

#[tokio::test(start_paused = true)]
async fn a_flood_over_the_quota_is_refused_unread_and_then_kept_out() {
    let rig = Rig::with(quota(Rate { per_second: 10, burst: 10 }), None).await;
    let (mut accepted, mut over, mut kept_out) = (0, 0, 0);
    // Ten times what is allowed, for four seconds.
    for _ in 0..400 {
        let answer = rig.send(from(ATTACKER, data("1"))).await;
        match answer.status {
            StatusCode::ACCEPTED => accepted += 1,
            _ if answer.problem().1 == "quota" => over += 1,
            _ => kept_out += 1,
        }
        if kept_out > 0 {
            break;
        }
        time::advance(Duration::from_millis(10)).await;
    }
    assert!((35..=60).contains(&accepted) && (295..=350).contains(&over) && kept_out == 1, "{accepted} {over}");
    let listed = rig.nos.quarantine().list();
    assert_eq!((listed[0].who.to_string(), &*listed[0].reason), ("address:198.51.100.7".into(), "over-quota"));

    let fresh = Rig::with(quota(Rate { per_second: 1, burst: 1 }), None).await;
    assert_eq!(fresh.send(from(ATTACKER, data("1"))).await.accepted(), 1);
    let (body, read) = endless();
    assert_eq!(fresh.send(from(ATTACKER, data(body))).await.problem(), (429, "quota"));
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 65 << 10, "{read} bytes were read of a body that is not taken");
}

#[tokio::test(start_paused = true)]
async fn a_registered_flooder_is_kept_out_by_its_credential() {
    let registered = Some(Allowance::items(Rate { per_second: 10, burst: 10 }));
    let rig = Rig::with(Config { quotas: Quotas { registered, ..Quotas::default() }, ..Config::default() }, None).await;
    let (flooder, honest) = (rig.register("flooder").await, rig.register("honest").await);
    for _ in 0..310 {
        rig.send(with_bearer(data("1"), &flooder)).await;
    }
    assert_eq!(rig.send(with_bearer(data("1"), &flooder)).await.problem(), (429, "quarantined"));
    assert_eq!(rig.send(with_bearer(data("1"), &honest)).await.accepted(), 1);
    assert_eq!(rig.data("1").await.accepted(), 1, "its address does not answer for it");
    let who = "source:flooder".parse().unwrap();
    assert!(rig.nos.quarantine().release(&who));
    time::advance(Duration::from_secs(1)).await;
    assert_eq!(rig.send(with_bearer(data("1"), &flooder)).await.accepted(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_to_who_is_kept_out_come_late_but_not_all_of_them() {
    let rig = Rig::new().await;
    let who = "address:198.51.100.7".parse().unwrap();
    rig.nos.quarantine().put(&who, 3_600, "").unwrap();
    let before = time::Instant::now();
    assert_eq!(rig.send(from(ATTACKER, data("1"))).await.problem(), (429, "quarantined"));
    assert_eq!(before.elapsed(), super::LATE_BY);
    let mut second = from(ATTACKER, data("1"));
    *second.version_mut() = Version::HTTP_2;
    assert_eq!(rig.send(second).await.header(header::CONNECTION), "", "HTTP/2 has no such header");
    let many = (0..LATE_ANSWERS_MAX + 10).map(|_| async {
        let before = time::Instant::now();
        rig.send(from(ATTACKER, data("1"))).await;
        before.elapsed()
    });
    let waits = futures_util::future::join_all(many).await;
    assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 10);
}

#[tokio::test]
async fn quotas_hold_for_types_nodes_addresses_and_the_total() {
    let once = Some(Allowance::items(Rate { per_second: 1, burst: 1 }));
    let quotas = Quotas {
        registered: once,
        node_types: [("free".into(), None), ("sensor".into(), None)].into(),
        nodes: [("s2".parse().unwrap(), once)].into(),
        ..Quotas::default()
    };
    let rig = Rig::with(Config { quotas, ..Config::default() }, None).await;
    let (free, limited) = (rig.register("s1").await, rig.register("s2").await);
    for _ in 0..50 {
        assert_eq!(rig.send(with_bearer(data("1"), &free)).await.accepted(), 1, "its type has no limit");
    }
    assert_eq!(rig.send(with_bearer(data("1"), &limited)).await.accepted(), 1);
    assert_eq!(rig.send(with_bearer(data("1"), &limited)).await.problem(), (429, "quota"), "its name comes first");

    let few = Some(Allowance { items: None, bytes: Some(Rate { per_second: 100, burst: 100 }) });
    let rig =
        Rig::with(Config { quotas: Quotas { addresses: few, ..Quotas::default() }, ..Config::default() }, None).await;
    let credential = rig.register("s1").await;
    let long = format!("\"{}\"", "x".repeat(1_000));
    assert_eq!(rig.send(with_bearer(data(long.clone()), &credential)).await.accepted(), 1);
    let answer = rig.data("1").await;
    assert_eq!(answer.problem(), (429, "quota-address"), "it answers for all who send from it");
    assert_eq!(answer.header(header::RETRY_AFTER), "10");
    assert_eq!(rig.send(from(ATTACKER, data("1"))).await.accepted(), 1);

    let rig = Rig::with(Config { quotas: Quotas { total: few, ..Quotas::default() }, ..Config::default() }, None).await;
    let two_lines = format!("{long}\n{long}\n");
    assert_eq!(rig.send(lines(two_lines)).await.problem(), (429, "quota-total"));
    assert_eq!(rig.send(from(ATTACKER, data("1"))).await.problem(), (429, "quota-total"));
    assert_eq!(rig.nos.quarantine().list(), []);
}
