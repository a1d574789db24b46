use super::*;
use crate::{Event, Expect};
use std::{fs, path::Path};

async fn put(store: &Embedded, key: &str, text: &'static str) -> Revision {
    store.put_if(key, Bytes::from_static(text.as_bytes()), Expect::Any).await.unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_revisions_go_on_rising() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let store = Embedded::open(dir.path()).await.unwrap();
        put(&store, "kept", "1").await;
        put(&store, "removed", "2").await;
        store.delete_if("removed", Expect::Any).await.unwrap();
        store.list("").await.unwrap()
    };
    let store = Embedded::open(dir.path()).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), before);
    let (items, revision) = before;
    assert_eq!(items.len(), 1);
    assert_eq!(put(&store, "new", "3").await, revision + 1);
}

#[tokio::test]
async fn a_watch_from_before_a_restart_goes_on_only_if_nothing_was_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (old, newest) = {
        let store = Embedded::open(dir.path()).await.unwrap();
        (put(&store, "a", "1").await, put(&store, "a", "2").await)
    };
    let store = Embedded::open(dir.path()).await.unwrap();
    assert_eq!(store.watch("", old).next().await, Some(Event::Lagged));
    let mut current = store.watch("", newest);
    let next = put(&store, "a", "3").await;
    assert!(matches!(current.next().await, Some(Event::Committed { revision, .. }) if revision == next));
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Embedded::open(dir.path()).await.unwrap();
    let error = Embedded::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"));
}

async fn refused(dir: &Path) -> String {
    let error = Embedded::open(dir).await.unwrap_err();
    assert!(matches!(error, OpenError::Format { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn another_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "aups-store 2\n").unwrap();
    fs::create_dir(dir.path().join("db")).unwrap();
    let error = refused(dir.path()).await;
    assert!(error.contains("aups-store 2") && error.contains("aups-store 1"), "{error}");
    assert!(dir.path().join("db").exists());
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "text").unwrap();
    assert!(refused(dir.path()).await.contains("thesis.tex"));
    assert_eq!(fs::read_to_string(dir.path().join("thesis.tex")).unwrap(), "text");
    assert!(!dir.path().join("format").exists());
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "aups-store 1\n").unwrap();
    fs::create_dir_all(dir.path().join("db/keyspaces")).unwrap();
    fs::write(dir.path().join("db/0.jnl"), "").unwrap();
    let store = Embedded::open(dir.path()).await.unwrap();
    assert_eq!(put(&store, "a", "1").await, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/here");
    let _store = Embedded::open(&path).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}
