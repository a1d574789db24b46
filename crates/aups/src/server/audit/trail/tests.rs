use super::super::files::{Span, find};
use super::*;
use aups_envelope::{Checkpoint, SigningKey, b64, sha256};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

const NOW: UnixMillis = UnixMillis(1_000);

fn append(trail: &mut Trail, count: usize) -> io::Result<u64> {
    trail.append(NOW, &vec![Told::of(&Event::Stopped { state: None }); count], false)
}

fn open(dir: &tempfile::TempDir) -> anyhow::Result<Trail> {
    Trail::open(&dir.path().join("audit"), NOW, Arc::default())
}

fn open_signed(dir: &tempfile::TempDir, key: SigningKey) -> Trail {
    let trail = open(dir).unwrap();
    trail.signer.set(Signer::key(key)).unwrap();
    trail
}

/// Follows the chain as somebody would who has only the files and the description of it.
fn verified(dir: &tempfile::TempDir) -> Vec<Value> {
    let mut prev = b64::encode(&[0; 32]);
    let mut lines = Vec::new();
    for (_, path) in files(&dir.path().join("audit")).unwrap() {
        for line in fs::read_to_string(path).unwrap().lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["number"], lines.len() as u64 + 1);
            assert_eq!(value["prev"], prev.as_str(), "{line}");
            prev = b64::encode(&sha256(&[line.as_bytes()]));
            lines.push(value);
        }
    }
    lines
}

#[test]
fn lines_are_chained_over_groups_files_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    trail.file_bytes_max = 200;
    assert_eq!(append(&mut trail, 3).unwrap(), 1);
    assert_eq!(append(&mut trail, 1).unwrap(), 4, "in the next file");
    drop(trail);
    let mut trail = open(&dir).unwrap();
    assert_eq!(trail.newest(), 4);
    assert_eq!(append(&mut trail, 2).unwrap(), 5);
    assert_eq!(verified(&dir).len(), 6);
    let firsts: Vec<_> = files(&trail.dir).unwrap().into_iter().map(|(first, _)| first).collect();
    assert_eq!(firsts, [1, 4]);
}

#[test]
fn the_trail_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&trail.dir), mode(&trail.path)), (0o700, 0o600));
    for path in [&trail.path, &trail.dir] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(&dir).unwrap_err().to_string().contains("chmod"), "{}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn what_a_kill_tore_is_cut_off_and_a_line_says_so() {
    for torn in [&b"{\"number\":3,\"prev\":\"AA"[..], b"\0\0\0\0", b"\0\0\n\0\0", b"{\"number\"\n{}\n"] {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = open(&dir).unwrap();
        append(&mut trail, 2).unwrap();
        trail.file.write_all(torn).unwrap();
        drop(trail);
        let mut trail = open(&dir).unwrap();
        append(&mut trail, 1).unwrap();
        let lines = verified(&dir);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2]["event"], "repaired");
        assert_eq!(lines[2]["bytes"], torn.len());
        assert_eq!(lines[2]["file"], "000000000001.jsonl");
    }
}

#[test]
fn a_kill_between_two_files_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    append(&mut trail, 2).unwrap();
    trail.next_file().unwrap();
    drop(trail);
    assert_eq!(append(&mut open(&dir).unwrap(), 1).unwrap(), 3);
    assert_eq!(verified(&dir).len(), 3);
}

#[test]
fn a_line_that_was_changed_stops_the_start() {
    for (from, to) in [("1000", "1001"), ("\"number\":2", "\"number\":9")] {
        let dir = tempfile::tempdir().unwrap();
        let mut trail = open(&dir).unwrap();
        append(&mut trail, 3).unwrap();
        let text = fs::read_to_string(&trail.path).unwrap();
        fs::write(&trail.path, text.replacen(from, to, 1)).unwrap();
        let refused = open(&dir).unwrap_err().to_string();
        assert!(refused.contains("line 2") && refused.contains("evidence"), "{refused}");
    }
}

#[test]
fn a_line_that_was_removed_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    append(&mut trail, 3).unwrap();
    let text = fs::read_to_string(&trail.path).unwrap();
    fs::write(&trail.path, text.split_inclusive('\n').skip(1).collect::<String>()).unwrap();
    assert!(open(&dir).unwrap_err().to_string().contains("line 1"));
}

#[test]
fn the_trail_goes_on_where_old_files_were_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    trail.file_bytes_max = 1;
    append(&mut trail, 2).unwrap();
    append(&mut trail, 1).unwrap();
    fs::remove_file(&files(&trail.dir).unwrap()[0].1).unwrap();
    assert_eq!(append(&mut open(&dir).unwrap(), 1).unwrap(), 4);
    let span = Span { after: 0, newest: 4, found_max: 10, looked_max: 10 };
    assert_eq!(find(&dir.path().join("audit"), span, |_| true).unwrap().lines.len(), 2);
}

#[test]
fn a_failure_of_the_disk_leaves_nothing_in_the_trail_and_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    append(&mut trail, 1).unwrap();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    trail.sync =
        Box::new(
            move |file| {
                if is_broken.load(Ordering::SeqCst) { Err(io::Error::other("no disk")) } else { file.sync_data() }
            },
        );
    for _ in 0..2 {
        assert!(append(&mut trail, 1).is_err());
        assert_eq!(trail.newest(), 1);
    }
    broken.store(false, Ordering::SeqCst);
    assert_eq!(append(&mut trail, 1).unwrap(), 2);
    assert_eq!(verified(&dir).len(), 2);
}

#[test]
fn lines_in_a_file_that_is_not_there_any_more_are_not_called_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    append(&mut trail, 1).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&trail.path, &elsewhere).unwrap();
    assert!(append(&mut trail, 1).unwrap_err().to_string().contains("put it back"));
    fs::copy(&elsewhere, &trail.path).unwrap();
    assert!(append(&mut trail, 1).is_err(), "a copy is another file");
    fs::rename(&elsewhere, &trail.path).unwrap();
    assert_eq!(append(&mut trail, 1).unwrap(), 2);
}

#[test]
fn lines_are_found_by_number_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(&dir).unwrap();
    trail.file_bytes_max = 200;
    for _ in 0..10 {
        append(&mut trail, 1).unwrap();
    }
    assert!(files(&trail.dir).unwrap().len() > 2);
    let found = |after, newest, found_max| {
        let span = Span { after, newest, found_max, looked_max: 100 };
        let found = find(&trail.dir, span, |_| true).unwrap();
        let numbers = found.lines.iter().map(|line| Link::read(line.get().as_bytes()).unwrap().number);
        (numbers.collect::<Vec<_>>(), found.looked_to)
    };
    for after in 0..11 {
        for newest in 0..=10 {
            for limit in 0..4 {
                let expected: Vec<u64> = (after + 1..=newest).take(limit).collect();
                let looked_to = expected.last().copied().unwrap_or(after);
                assert_eq!(found(after, newest, limit), (expected, looked_to), "{after} {newest} {limit}");
            }
        }
    }
    assert_eq!(found(u64::MAX, 10, 1).0, [0; 0]);
    let span = Span { after: 2, newest: 10, found_max: 9, looked_max: 3 };
    assert_eq!(find(&trail.dir, span, |_| false).unwrap().looked_to, 5, "as far as it may look");
}

/// The numbers of the lines that are checkpoints.
fn checkpoints(dir: &tempfile::TempDir) -> Vec<u64> {
    let lines = verified(dir);
    let checkpoints = lines.iter().filter(|line| line["event"] == "checkpoint");
    checkpoints.map(|line| line["number"].as_u64().unwrap()).collect()
}

#[test]
fn lines_are_signed_after_so_many_after_a_while_at_the_end_of_a_file_and_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate();
    let public = key.public();
    let mut trail = open_signed(&dir, key);
    append(&mut trail, 1).unwrap();
    assert_eq!(checkpoints(&dir), [2], "the first lines of a run at once");
    append(&mut trail, 999).unwrap();
    assert_eq!(trail.newest(), 1_001);
    append(&mut trail, 1).unwrap();
    assert_eq!(checkpoints(&dir), [2, 1_003], "after a thousand");
    let later = NOW.plus(CHECKPOINT_EVERY);
    trail.append(later, &[], false).unwrap();
    assert_eq!(trail.newest(), 1_003, "nothing to sign");
    trail.append(NOW, &[Told::of(&Event::Stopped { state: None })], false).unwrap();
    trail.append(later, &[], false).unwrap();
    assert_eq!(checkpoints(&dir), [2, 1_003, 1_005], "after a while");
    trail.append(later, &[Told::of(&Event::Stopped { state: None })], true).unwrap();
    assert_eq!(checkpoints(&dir), [2, 1_003, 1_005, 1_007], "when asked");
    trail.file_bytes_max = trail.synced + 1;
    trail.append(later, &[Told::of(&Event::Stopped { state: None })], false).unwrap();
    trail.append(later, &[Told::of(&Event::Stopped { state: None })], false).unwrap();
    let firsts: Vec<_> = files(&trail.dir).unwrap().into_iter().map(|(first, _)| first).collect();
    assert_eq!((firsts.as_slice(), checkpoints(&dir).last()), (&[1, 1_010][..], Some(&1_009)), "at the end of a file");

    let newest = trail.checkpoint().unwrap();
    let signed = Checkpoint::verify(newest, Some(&public)).unwrap();
    assert_eq!((signed.number, signed.at), (1_008, later));
    let newest = newest.to_owned();
    drop(trail);
    assert_eq!(open(&dir).unwrap().checkpoint(), Some(newest.as_str()), "found again");
}
