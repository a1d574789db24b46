use super::*;
use aups_core::ManualClock;
use aups_store::InMemory;
use std::{fs, os::unix::fs::PermissionsExt as _};

struct Realm {
    dir: tempfile::TempDir,
    store: Arc<InMemory>,
    clock: Arc<ManualClock>,
    tokens: AdminTokens,
}

const DAY: Duration = Duration::from_hours(24);

async fn realm() -> Realm {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(ManualClock::at(UnixMillis(1_000_000)));
    let tokens = reopened(&dir, &store, &clock).await.unwrap();
    Realm { dir, store, clock, tokens }
}

async fn reopened(
    dir: &tempfile::TempDir,
    store: &Arc<InMemory>,
    clock: &Arc<ManualClock>,
) -> anyhow::Result<AdminTokens> {
    AdminTokens::open(dir.path().join("admin.token"), Arc::clone(store) as _, Arc::clone(clock) as _).await
}

impl Realm {
    fn file(&self) -> PathBuf {
        self.dir.path().join("admin.token")
    }
    fn first(&self) -> String {
        fs::read_to_string(self.file()).unwrap().trim().to_owned()
    }
    async fn restart(&mut self) {
        self.tokens = reopened(&self.dir, &self.store, &self.clock).await.unwrap();
    }
    async fn add(&self, token: &str, life: Option<Duration>) -> Result<String, TokenError> {
        let expires = life.map(|life| self.clock.now().plus(life));
        self.tokens.add(name(token), expires).await.map(|issued| text(&issued.secret))
    }
    async fn rotate(&self, token: &str, grace: Duration) -> Result<String, TokenError> {
        self.tokens.rotate(&name(token), grace).await.map(|issued| text(&issued.secret))
    }
}

fn name(text: &str) -> TokenName {
    text.parse().unwrap()
}

fn valid(token: &str) -> Presented {
    Presented::Valid(Actor::token(&name(token)))
}

#[tokio::test]
async fn the_first_token_is_made_once_and_private() {
    let mut realm = realm().await;
    let first = realm.first();
    assert_eq!(realm.tokens.check(&first), valid("admin"));
    for wrong in ["", "x", first.split_at(1).1, &format!("{first}x")] {
        assert_eq!(realm.tokens.check(wrong), Presented::Unknown);
    }
    realm.restart().await;
    assert_eq!((realm.first(), realm.tokens.check(&first)), (first.clone(), valid("admin")));
    assert_eq!(fs::metadata(realm.file()).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(realm.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = reopened(&realm.dir, &realm.store, &realm.clock).await.unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[tokio::test]
async fn the_file_says_at_each_start_what_the_first_token_is() {
    let mut realm = realm().await;
    let (first, own) = (realm.first(), "a token that somebody chose, long enough");
    fs::write(realm.file(), own).unwrap();
    realm.restart().await;
    assert_eq!((realm.tokens.check(own), realm.tokens.check(&first)), (valid("admin"), Presented::Unknown));
    fs::remove_file(realm.file()).unwrap();
    realm.restart().await;
    assert_eq!((realm.tokens.check(&realm.first()), realm.tokens.check(own)), (valid("admin"), Presented::Unknown));
    fs::write(realm.file(), "short").unwrap();
    assert!(reopened(&realm.dir, &realm.store, &realm.clock).await.is_err());
}

#[tokio::test]
async fn a_token_ends_when_it_was_to_end_and_only_its_holder_is_told() {
    let mut realm = realm().await;
    let ops = realm.add("ops", Some(DAY)).await.unwrap();
    let ends = realm.clock.now().plus(DAY);
    realm.clock.advance(DAY.saturating_sub(Duration::from_millis(1)));
    assert_eq!(realm.tokens.check(&ops), valid("ops"));
    realm.clock.advance(Duration::from_millis(1));
    for _ in 0..2 {
        assert_eq!(realm.tokens.check(&ops), Presented::Ended(Actor::token(&name("ops")), ends));
        assert_eq!(realm.tokens.check("x"), Presented::Unknown);
        realm.restart().await;
    }
    assert!(matches!(realm.add("ops", None).await, Err(TokenError::Exists(_))), "an ended token has its name still");
}

#[tokio::test]
async fn an_end_lies_ahead_and_not_too_far() {
    let realm = realm().await;
    for life in [Duration::ZERO, LIFE_MAX + Duration::from_millis(1)] {
        assert!(matches!(realm.add("ops", Some(life)).await, Err(TokenError::Expiry)));
    }
    realm.add("ops", Some(LIFE_MAX)).await.unwrap();
}

#[tokio::test]
async fn a_removed_token_is_unknown() {
    let mut realm = realm().await;
    let ops = realm.add("ops", None).await.unwrap();
    realm.tokens.remove(&name("ops")).await.unwrap();
    assert_eq!(realm.tokens.check(&ops), Presented::Unknown);
    assert!(matches!(realm.tokens.remove(&name("ops")).await, Err(TokenError::Unknown(_))));
    realm.restart().await;
    assert_eq!(realm.tokens.check(&ops), Presented::Unknown);
}

#[tokio::test]
async fn nobody_locks_himself_out() {
    let mut realm = realm().await;
    let first = realm.first();
    realm.add("ci", Some(DAY)).await.unwrap();
    assert!(matches!(realm.tokens.remove(&name("admin")).await, Err(TokenError::Last(_))), "`ci` ends one day");
    assert_eq!(realm.tokens.check(&first), valid("admin"));
    realm.add("ops", None).await.unwrap();
    realm.tokens.remove(&name("admin")).await.unwrap();
    assert_eq!(realm.tokens.check(&first), Presented::Unknown);
    assert!(!realm.file().exists());
    assert!(matches!(realm.tokens.remove(&name("ops")).await, Err(TokenError::Last(_))));
    realm.tokens.remove(&name("ci")).await.unwrap();
    realm.restart().await;
    assert_ne!(realm.first(), first, "the next start makes the first token anew");
}

#[tokio::test]
async fn a_rotated_token_ends_at_once_or_after_its_grace() {
    let mut realm = realm().await;
    let first = realm.add("ops", Some(DAY)).await.unwrap();
    realm.clock.advance(DAY / 2);
    let second = realm.rotate("ops", Duration::ZERO).await.unwrap();
    assert_eq!((realm.tokens.check(&first), realm.tokens.check(&second)), (Presented::Unknown, valid("ops")));
    assert_eq!(realm.tokens.list()[1].expires, Some(realm.clock.now().plus(DAY)), "the same life again");

    let third = realm.rotate("ops", Duration::from_mins(10)).await.unwrap();
    let ends = realm.clock.now().plus(Duration::from_mins(10));
    assert_eq!(realm.tokens.list()[1].previous_ends, Some(ends));
    realm.restart().await;
    assert_eq!((realm.tokens.check(&second), realm.tokens.check(&third)), (valid("ops"), valid("ops")));
    realm.clock.set(ends);
    assert_eq!(realm.tokens.check(&second), Presented::Ended(Actor::token(&name("ops")), ends));
    assert_eq!(realm.tokens.list()[1].previous_ends, None);
    assert_eq!(realm.tokens.check(&third), valid("ops"));

    realm.rotate("ops", GRACE_MAX).await.unwrap();
    let late = realm.rotate("ops", GRACE_MAX + Duration::from_millis(1)).await;
    assert!(matches!(late, Err(TokenError::Grace)));
    assert!(matches!(realm.rotate("nobody", Duration::ZERO).await, Err(TokenError::Unknown(_))));
}

#[tokio::test]
async fn a_grace_does_not_outlive_the_end_of_the_token() {
    let realm = realm().await;
    let first = realm.add("ops", Some(Duration::from_mins(5))).await.unwrap();
    realm.rotate("ops", Duration::from_mins(10)).await.unwrap();
    realm.clock.advance(Duration::from_mins(5));
    assert!(matches!(realm.tokens.check(&first), Presented::Ended(..)));
}

#[tokio::test]
async fn rotating_the_first_token_rewrites_its_file() {
    let mut realm = realm().await;
    let old = realm.first();
    let new = realm.rotate("admin", Duration::ZERO).await.unwrap();
    assert_eq!(realm.first(), new);
    assert_eq!(fs::metadata(realm.file()).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..2 {
        assert_eq!((realm.tokens.check(&old), realm.tokens.check(&new)), (Presented::Unknown, valid("admin")));
        realm.restart().await;
    }
    let left: Vec<_> = fs::read_dir(realm.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["admin.token"]);
}

#[tokio::test]
async fn a_rotation_that_cannot_write_the_file_leaves_the_old_token() {
    let mut realm = realm().await;
    let old = realm.first();
    let text = fs::read_to_string(realm.file()).unwrap();
    fs::remove_file(realm.file()).unwrap();
    fs::create_dir(realm.file()).unwrap();
    assert!(matches!(realm.rotate("admin", Duration::ZERO).await, Err(TokenError::File(_))));
    assert_eq!(realm.tokens.check(&old), valid("admin"));
    fs::remove_dir(realm.file()).unwrap();
    let mut file = tempfile::NamedTempFile::new_in(realm.dir.path()).unwrap();
    io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    file.persist(realm.file()).unwrap();
    realm.restart().await;
    assert_eq!(realm.tokens.check(&old), valid("admin"));
}

#[tokio::test]
async fn there_are_so_many_tokens_at_most() {
    let realm = realm().await;
    for number in 1..TOKENS_MAX {
        realm.add(&format!("t{number}"), None).await.unwrap();
    }
    assert!(matches!(realm.add("more", None).await, Err(TokenError::Full)));
}

#[tokio::test]
async fn it_is_remembered_when_a_token_was_last_used() {
    let mut realm = realm().await;
    let ops = realm.add("ops", None).await.unwrap();
    realm.clock.advance(DAY);
    realm.tokens.check(&ops);
    realm.tokens.check("x");
    realm.tokens.write_uses().await;
    let written = realm.store.list("").await.unwrap().1;
    realm.clock.advance(DAY);
    realm.tokens.write_uses().await;
    assert_eq!(realm.store.list("").await.unwrap().1, written, "nothing is written while nobody administers");
    let used_at = realm.clock.now();
    realm.tokens.check(&ops);
    realm.tokens.write_uses().await;
    realm.clock.advance(DAY);
    realm.restart().await;
    let used: Vec<_> = realm.tokens.list().into_iter().map(|token| token.last_used).collect();
    assert_eq!(used, [None, Some(used_at)]);
}

#[tokio::test]
async fn no_secret_is_stored() {
    let realm = realm().await;
    let ops = realm.add("ops", None).await.unwrap();
    for (_, value) in realm.store.list("").await.unwrap().0 {
        let stored = String::from_utf8(value.value.to_vec()).unwrap();
        assert!(!stored.contains(&ops) && !stored.contains(&realm.first()));
    }
}
