use super::*;
use crate::fixture::identity;
use aups_core::{KeyId, UnixMillis};
use std::os::unix::fs::PermissionsExt as _;

fn memory(number: u64) -> Memory {
    Memory::Bump { key_id: KeyId::from_bytes([7; 24]), from: UnixMillis(number) }
}

fn alice() -> Identity {
    identity("http://s", "mqtt://b")
}

fn open(path: &Path) -> Result<(StateFile, Vec<Memory>), StateError> {
    let mut read = Vec::new();
    let file = StateFile::open(path, &alice(), |memory| read.push(memory.clone()))?;
    Ok((file, read))
}

#[test]
fn what_is_written_is_there_again_with_the_same_name_at_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.state");
    let (mut state, read) = open(&path).unwrap();
    assert!(read.is_empty());
    let client_id = state.client_id().to_owned();
    state.append(&[memory(1), memory(2)]).unwrap();
    assert!(matches!(open(&path), Err(StateError::InUse(_))));
    drop(state);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let (mut state, read) = open(&path).unwrap();
    assert_eq!((state.client_id(), read), (client_id.as_str(), vec![memory(1), memory(2)]));
    state.append(&[memory(3)]).unwrap();
    assert!(!state.is_long());
    state.fold([memory(4)].into_iter()).unwrap();
    state.append(&[memory(5)]).unwrap();
    drop(state);
    assert_eq!(open(&path).unwrap().1, [memory(4), memory(5)]);
}

#[test]
fn the_file_is_folded_when_what_was_added_outgrows_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut state, _) = open(&dir.path().join("s")).unwrap();
    let many: Vec<_> = (0..20_000).map(memory).collect();
    state.append(&many).unwrap();
    assert!(state.is_long());
    state.fold(many.into_iter()).unwrap();
    assert!(!state.is_long());
}

#[test]
fn a_line_that_a_kill_cut_off_is_forgotten_and_every_other_damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let (mut state, _) = open(&path).unwrap();
    state.append(&[memory(1), memory(2)]).unwrap();
    drop(state);
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for end in first..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (mut state, read) = open(&path).unwrap();
        assert_eq!(read.len(), usize::from(end >= last), "{end}");
        // What comes then is not joined to the torn line.
        state.append(&[memory(3)]).unwrap();
        drop(state);
        assert_eq!(open(&path).unwrap().1.last(), Some(&memory(3)), "{end}");
    }
    for place in 0..whole.len() - 1 {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(matches!(open(&path), Err(StateError::Damaged { .. })), "{place}");
    }
    for nothing in [&b""[..], b"\n", b"{}", &whole[..first - 1]] {
        fs::write(&path, nothing).unwrap();
        assert!(matches!(open(&path), Err(StateError::Damaged { .. })), "{nothing:?}");
    }
}

#[test]
fn the_state_of_another_reader_realm_or_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let head =
        Head { version: VERSION, realm: alice().realm(), sub: alice().sub().clone(), client_id: "aups-x".into() };
    fs::write(&path, line(&Head { sub: "bob".parse().unwrap(), ..head.clone() })).unwrap();
    assert!(matches!(open(&path), Err(StateError::OfAnother { .. })));
    fs::write(&path, line(&Head { realm: RealmId::from_bytes([9; 32]), ..head.clone() })).unwrap();
    assert!(matches!(open(&path), Err(StateError::OfAnother { .. })));
    fs::write(&path, line(&Head { version: 2, ..head.clone() })).unwrap();
    assert!(matches!(open(&path), Err(StateError::Version { version: 2, .. })));
    fs::write(&path, line(&head)).unwrap();
    open(&path).unwrap();
}
