//! What every store must do. Run on each of them, by name, in the macro at the end.

use crate::{Change, Changed, Embedded, Event, Expect, InMemory, Revision, Store, StoreError, Versioned, store, watch};
use bytes::Bytes;
use std::sync::Arc;

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn put(store: &dyn Store, key: &str, text: &str) -> Revision {
    store.put_if(key, value(text), Expect::Any).await.unwrap()
}

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().0.into_iter().map(|(key, _)| key).collect()
}

fn committed(revision: Revision, changes: &[(&str, Option<&str>)]) -> Event {
    let changed = |(key, text): &(&str, Option<&str>)| Changed { key: (*key).to_owned(), value: text.map(value) };
    Event::Committed { revision, changes: changes.iter().map(changed).collect() }
}

async fn a_value_is_read_back_with_the_revision_that_wrote_it(store: Arc<dyn Store>) {
    assert_eq!(store.get("a").await.unwrap(), None);
    let revision = put(&*store, "a", "1").await;
    assert_eq!(store.get("a").await.unwrap(), Some(Versioned { value: value("1"), revision }));
    put(&*store, "b", "2").await;
    assert_eq!(store.get("a").await.unwrap().unwrap().revision, revision);
}

async fn revisions_rise_strictly_whatever_the_key(store: Arc<dyn Store>) {
    let mut last = 0;
    for key in ["a", "b", "a", "c"] {
        let revision = put(&*store, key, "x").await;
        assert!(revision > last);
        last = revision;
    }
    assert!(store.delete_if("a", Expect::Any).await.unwrap() > last);
}

async fn an_empty_value_is_not_an_absent_one(store: Arc<dyn Store>) {
    put(&*store, "a", "").await;
    assert_eq!(store.get("a").await.unwrap().unwrap().value, Bytes::new());
    assert!(store.put_if("a", value("x"), Expect::Absent).await.unwrap_err().is_conflict());
}

async fn absent_holds_once(store: Arc<dyn Store>) {
    store.put_if("a", value("first"), Expect::Absent).await.unwrap();
    let error = store.put_if("a", value("second"), Expect::Absent).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { key } if key == "a"));
    assert_eq!(store.get("a").await.unwrap().unwrap().value, value("first"));
    store.delete_if("a", Expect::Any).await.unwrap();
    store.put_if("a", value("third"), Expect::Absent).await.unwrap();
}

async fn a_revision_holds_until_the_value_is_written_again(store: Arc<dyn Store>) {
    let old = put(&*store, "a", "1").await;
    let new = store.put_if("a", value("2"), Expect::Revision(old)).await.unwrap();
    assert!(store.put_if("a", value("3"), Expect::Revision(old)).await.unwrap_err().is_conflict());
    assert!(store.delete_if("a", Expect::Revision(old)).await.unwrap_err().is_conflict());
    assert!(store.put_if("absent", value("3"), Expect::Revision(new)).await.unwrap_err().is_conflict());
    store.delete_if("a", Expect::Revision(new)).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
}

async fn a_transaction_is_done_whole_or_not_at_all(store: Arc<dyn Store>) {
    let kept = put(&*store, "kept", "1").await;
    let broken = vec![
        Change::put("new", value("x"), Expect::Absent),
        Change::delete("kept", Expect::Any),
        Change::put("other", value("x"), Expect::Revision(7)),
    ];
    assert!(matches!(store.commit(broken).await.unwrap_err(), StoreError::Conflict { key } if key == "other"));
    assert_eq!(keys(&*store, "").await, ["kept"]);

    let sound = vec![
        Change::put("new", value("x"), Expect::Absent),
        Change::delete("kept", Expect::Revision(kept)),
        Change::delete("third", Expect::Absent),
    ];
    let revision = store.commit(sound).await.unwrap();
    assert_eq!(store.get("new").await.unwrap().unwrap().revision, revision);
    assert_eq!(keys(&*store, "").await, ["new"]);
}

async fn what_no_store_takes_is_refused(store: Arc<dyn Store>) {
    let put = |key: &str, len: usize| Change::put(key, vec![0; len], Expect::Any);
    let many = (0..=store::CHANGES_MAX).map(|n| put(&n.to_string(), 0)).collect();
    let large = (0..5).map(|n| put(&n.to_string(), store::VALUE_BYTES_MAX)).collect();
    for changes in [
        vec![],
        vec![put("", 0)],
        vec![put(&"k".repeat(store::KEY_BYTES_MAX + 1), 0)],
        vec![put("a", store::VALUE_BYTES_MAX + 1)],
        vec![put("a", 1), put("a", 2)],
        many,
        large,
    ] {
        assert!(matches!(store.commit(changes).await.unwrap_err(), StoreError::Transaction));
    }
    store.commit(vec![put(&"k".repeat(store::KEY_BYTES_MAX), store::VALUE_BYTES_MAX)]).await.unwrap();
}

async fn a_list_holds_what_lies_under_the_prefix_in_order(store: Arc<dyn Store>) {
    for key in ["scope/b", "scope/a", "scope", "scopes/x", "root/1", "scope/ü"] {
        put(&*store, key, key).await;
    }
    store.delete_if("scope/b", Expect::Any).await.unwrap();
    put(&*store, "scope/c", "scope/c").await;
    assert_eq!(keys(&*store, "scope/").await, ["scope/a", "scope/c", "scope/ü"]);
    assert_eq!(keys(&*store, "").await.len(), 6);
    assert!(keys(&*store, "scope/a/").await.is_empty());
    let (items, _) = store.list("root/").await.unwrap();
    assert_eq!(items.first().unwrap().1.value, value("root/1"));
}

async fn a_list_names_the_revision_to_watch_from(store: Arc<dyn Store>) {
    put(&*store, "a", "1").await;
    let (_, revision) = store.list("").await.unwrap();
    let next = put(&*store, "a", "2").await;
    assert_eq!(store.watch("", revision).next().await, Some(committed(next, &[("a", Some("2"))])));
}

async fn one_of_many_creators_wins(store: Arc<dyn Store>) {
    for round in 0..10 {
        let key = format!("scope/{round}");
        let race = (0..12).map(|n| {
            let (store, key) = (Arc::clone(&store), key.clone());
            tokio::spawn(async move { store.put_if(&key, value(&n.to_string()), Expect::Absent).await.map(|_| n) })
        });
        let mut won = Vec::new();
        for racer in race.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(n) => won.push(n.to_string()),
                Err(error) => assert!(error.is_conflict()),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(store.get(&key).await.unwrap().unwrap().value, value(&won[0]));
    }
}

async fn counters_that_many_raise_lose_no_step(store: Arc<dyn Store>) {
    put(&*store, "counter", "0").await;
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                while done < 10 {
                    let old = store.get("counter").await.unwrap().unwrap();
                    let count: u32 = std::str::from_utf8(&old.value).unwrap().parse().unwrap();
                    let next = value(&(count + 1).to_string());
                    match store.put_if("counter", next, Expect::Revision(old.revision)).await {
                        Ok(_) => done += 1,
                        Err(error) => assert!(error.is_conflict()),
                    }
                }
            })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap();
    }
    assert_eq!(store.get("counter").await.unwrap().unwrap().value, value("80"));
}

async fn a_watch_sees_transactions_whole_in_order_under_its_prefix(store: Arc<dyn Store>) {
    let start = put(&*store, "scope/0", "before").await;
    let mut watch = store.watch("scope/", start);
    let first = put(&*store, "scope/1", "a").await;
    put(&*store, "root/1", "elsewhere").await;
    let both = vec![
        Change::delete("scope/1", Expect::Any),
        Change::put("root/2", value("elsewhere"), Expect::Any),
        Change::put("scope/2", value("b"), Expect::Any),
        Change::delete("scope/absent", Expect::Any),
    ];
    let second = store.commit(both).await.unwrap();
    assert_eq!(watch.next().await, Some(committed(first, &[("scope/1", Some("a"))])));
    assert_eq!(watch.next().await, Some(committed(second, &[("scope/1", None), ("scope/2", Some("b"))])));
}

async fn a_watch_resumes_after_the_revision_it_is_given(store: Arc<dyn Store>) {
    let start = store.list("").await.unwrap().1;
    let first = put(&*store, "a", "1").await;
    let second = put(&*store, "b", "2").await;
    assert_eq!(store.watch("", start).next().await, Some(committed(first, &[("a", Some("1"))])));
    assert_eq!(store.watch("", first).next().await, Some(committed(second, &[("b", Some("2"))])));
}

async fn a_watch_wakes_for_what_comes_later(store: Arc<dyn Store>) {
    let mut watch = store.watch("a", 0);
    let waiting = tokio::spawn(async move { watch.next().await });
    put(&*store, "unrelated", "x").await;
    let revision = put(&*store, "a", "1").await;
    assert_eq!(waiting.await.unwrap(), Some(committed(revision, &[("a", Some("1"))])));
}

async fn a_refused_transaction_is_seen_by_nobody(store: Arc<dyn Store>) {
    let start = put(&*store, "a", "1").await;
    let mut watch = store.watch("", start);
    assert!(store.put_if("a", value("2"), Expect::Absent).await.unwrap_err().is_conflict());
    let next = put(&*store, "b", "3").await;
    assert_eq!(watch.next().await, Some(committed(next, &[("b", Some("3"))])));
}

async fn a_watcher_that_fell_behind_is_told_so(store: Arc<dyn Store>) {
    let start = put(&*store, "a", "1").await;
    let mut slow = store.watch("", start);
    let large = vec![0; watch::HISTORY_BYTES_MAX / 4];
    for _ in 0..5 {
        store.put_if("large", large.clone().into(), Expect::Any).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Event::Lagged));
    assert_eq!(slow.next().await, None);
    let (_, revision) = store.list("").await.unwrap();
    let next = put(&*store, "a", "2").await;
    assert_eq!(store.watch("", revision).next().await, Some(committed(next, &[("a", Some("2"))])));
}

async fn a_revision_from_another_history_is_not_waited_for(store: Arc<dyn Store>) {
    let newest = put(&*store, "a", "1").await;
    assert_eq!(store.watch("", newest + 1).next().await, Some(Event::Lagged));
}

async fn a_watch_ends_with_its_store(store: Arc<dyn Store>) {
    let mut watch = store.watch("", 0);
    let revision = put(&*store, "a", "1").await;
    drop(store);
    assert_eq!(watch.next().await, Some(committed(revision, &[("a", Some("1"))])));
    assert_eq!(watch.next().await, None);
}

macro_rules! on_every_store {
    ($($case:ident)*) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(std::sync::Arc::new(super::InMemory::new())).await;
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let dir = tempfile::tempdir().unwrap();
                let store = super::Embedded::open(dir.path()).await.unwrap();
                super::$case(std::sync::Arc::new(store)).await;
            })*
        }
    };
}

on_every_store! {
    a_value_is_read_back_with_the_revision_that_wrote_it
    revisions_rise_strictly_whatever_the_key
    an_empty_value_is_not_an_absent_one
    absent_holds_once
    a_revision_holds_until_the_value_is_written_again
    a_transaction_is_done_whole_or_not_at_all
    what_no_store_takes_is_refused
    a_list_holds_what_lies_under_the_prefix_in_order
    a_list_names_the_revision_to_watch_from
    one_of_many_creators_wins
    counters_that_many_raise_lose_no_step
    a_watch_sees_transactions_whole_in_order_under_its_prefix
    a_watch_resumes_after_the_revision_it_is_given
    a_watch_wakes_for_what_comes_later
    a_refused_transaction_is_seen_by_nobody
    a_watcher_that_fell_behind_is_told_so
    a_revision_from_another_history_is_not_waited_for
    a_watch_ends_with_its_store
}
