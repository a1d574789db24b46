use super::*;
use std::thread;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn the_first_start_makes_a_file_that_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let first = read_or_make(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.len()), (0o400, 32));
    assert_eq!(first.expose(), read_or_make(&path).unwrap().expose());
    assert_eq!(first.expose(), read_existing(&path).unwrap().expose());
    assert_eq!(names(dir.path()), ["kek"], "nothing stays beside it");
}

#[test]
fn two_files_are_two_keys() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = ["a", "b"].map(|name| read_or_make(&dir.path().join(name)).unwrap());
    assert_ne!(one.expose(), other.expose());
}

#[test]
fn all_that_start_at_once_get_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let keys: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make(&path).unwrap())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| key.expose() == keys[0].expose()));
}

#[test]
fn a_file_that_others_may_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    read_or_make(&path).unwrap();
    for mode in [0o440, 0o404, 0o420, 0o410, 0o644] {
        set_mode(&path, mode);
        let error = read_existing(&path).unwrap_err();
        assert!(matches!(error, CustodyError::Loose { mode: found, .. } if found == mode));
        assert!(error.to_string().contains(&format!("chmod 0400 {}", path.display())), "{error}");
    }
    set_mode(&path, 0o600);
    read_existing(&path).unwrap();
}

#[test]
fn a_file_of_another_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, counted) in [(0, 0), (31, 31), (33, 33), (4_096, 33)] {
        let path = dir.path().join(format!("kek-{bytes}"));
        fs::write(&path, vec![1; bytes]).unwrap();
        set_mode(&path, 0o400);
        let error = read_existing(&path).unwrap_err();
        assert!(matches!(error, CustodyError::Length { found, .. } if found == counted), "{error}");
    }
}

#[test]
fn a_directory_is_not_a_key() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o700);
    assert!(matches!(read_existing(dir.path()).unwrap_err(), CustodyError::NotAFile { .. }));
}

#[test]
fn a_place_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere/kek");
    for error in [read_or_make(&path).unwrap_err(), read_existing(&path).unwrap_err()] {
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn what_is_replaced_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring");
    make(&path, b"the old bytes").unwrap();
    // Another name of the old file shows what becomes of its bytes.
    let seen = dir.path().join("seen");
    fs::hard_link(&path, &seen).unwrap();
    replace(&path, b"new").unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&seen).unwrap()), (b"new".to_vec(), vec![0; 13]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o400);
    assert_eq!(names(dir.path()), ["keyring", "seen"]);
}

/// A kill after each step of a replacement, and the next start.
#[test]
fn a_replacement_that_was_interrupted_is_finished_or_undone() {
    for steps in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let (path, seen) = (dir.path().join("keyring"), dir.path().join("seen"));
        make(&path, b"old").unwrap();
        fs::hard_link(&path, &seen).unwrap();
        let (new, old) = (aside(&path, "new"), aside(&path, "old"));
        fill(&new, b"new").unwrap();
        if steps > 1 {
            fs::hard_link(&path, &old).unwrap();
        }
        if steps > 2 {
            fs::rename(&new, &path).unwrap();
        }
        finish_replace(&path).unwrap();
        let (now, was) = if steps > 2 { ("new", "\0\0\0") } else { ("old", "old") };
        assert_eq!(fs::read(&path).unwrap(), now.as_bytes(), "after step {steps}");
        assert_eq!(fs::read(&seen).unwrap(), was.as_bytes(), "after step {steps}");
        assert_eq!(names(dir.path()), ["keyring", "seen"], "after step {steps}");
    }
}
