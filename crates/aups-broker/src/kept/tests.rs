use super::*;

struct Disk {
    dir: tempfile::TempDir,
    kept: Kept,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::restore(dir.path()).unwrap();
        Self { dir, kept }
    }

    fn queued(&self, client: &str, seq: u64) -> PathBuf {
        self.dir.path().join("queues").join(client).join(format!("{seq:020}.json"))
    }

    /// How many links there are.
    fn links(&self, client: &str) -> usize {
        fs::read_dir(self.dir.path().join("kept").join(client)).map_or(0, Iterator::count)
    }

    /// As the crate does it: under a temporary name first.
    fn queue(&self, client: &str, seq: u64) {
        let path = self.queued(client, seq);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let temporary = path.with_extension("tmp.1.1");
        fs::write(&temporary, seq.to_string()).unwrap();
        fs::rename(temporary, path).unwrap();
    }

    fn take(&self, client: &str, seq: u64) {
        fs::remove_file(self.queued(client, seq)).unwrap();
    }

    fn restart(self) -> Self {
        drop(self.kept);
        let kept = Kept::restore(self.dir.path()).unwrap();
        Self { dir: self.dir, kept }
    }
}

#[test]
fn what_was_taken_from_a_queue_just_before_a_kill_is_put_back() {
    let mut disk = Disk::new();
    for seq in [1, 2, 3] {
        disk.queue("alice", seq);
    }
    disk.kept.pass().unwrap();
    disk.take("alice", 1);
    let disk = disk.restart();
    for seq in [1, 2, 3] {
        assert_eq!(fs::read_to_string(disk.queued("alice", seq)).unwrap(), seq.to_string());
    }
}

#[test]
fn what_was_missing_in_two_passes_is_given_up() {
    let mut disk = Disk::new();
    disk.queue("alice", 1);
    disk.queue("alice", 2);
    disk.kept.pass().unwrap();
    disk.take("alice", 1);
    disk.kept.pass().unwrap();
    assert_eq!(disk.links("alice"), 2, "one pass is too early: its next home may not be written");
    disk.kept.pass().unwrap();
    assert_eq!(disk.links("alice"), 1);
    let disk = disk.restart();
    assert!(!disk.queued("alice", 1).exists());
    assert!(disk.queued("alice", 2).exists());
}

#[test]
fn a_number_that_was_given_again_costs_neither_message() {
    let mut disk = Disk::new();
    disk.queue("alice", 5);
    disk.kept.pass().unwrap();
    disk.take("alice", 5);
    disk.queue("alice", 5);
    fs::write(disk.queued("alice", 5), "another").unwrap();
    let disk = disk.restart();
    assert_eq!(fs::read_to_string(disk.queued("alice", 4)).unwrap(), "5");
    assert_eq!(fs::read_to_string(disk.queued("alice", 5)).unwrap(), "another");
}

#[test]
fn what_comes_back_into_a_queue_is_kept_again() {
    let mut disk = Disk::new();
    disk.queue("alice", 1);
    disk.kept.pass().unwrap();
    disk.take("alice", 1);
    disk.kept.pass().unwrap();
    disk.queue("alice", 1);
    disk.kept.pass().unwrap();
    disk.take("alice", 1);
    disk.kept.pass().unwrap();
    let disk = disk.restart();
    assert!(disk.queued("alice", 1).exists());
}

#[test]
fn passes_settle_when_nothing_moves() {
    let mut disk = Disk::new();
    assert!(disk.kept.pass().unwrap());
    disk.queue("alice", 1);
    assert!(!disk.kept.pass().unwrap());
    assert!(disk.kept.pass().unwrap());
    disk.take("alice", 1);
    assert!(!disk.kept.pass().unwrap());
    assert!(!disk.kept.pass().unwrap());
    assert!(disk.kept.pass().unwrap());
}

#[test]
fn a_directory_that_was_quiet_is_read_again_when_it_changes() {
    let mut disk = Disk::new();
    disk.queue("alice", 1);
    disk.kept.pass().unwrap();
    let queue = File::open(disk.queued("alice", 1).parent().unwrap()).unwrap();
    let long_ago = queue.metadata().unwrap().modified().unwrap() - 2 * QUIET;
    queue.set_modified(long_ago).unwrap();
    disk.kept.pass().unwrap();
    assert!(disk.kept.clients["alice"].quiet_since.is_some());
    disk.queue("alice", 2);
    disk.kept.pass().unwrap();
    assert_eq!(disk.links("alice"), 2);
}

#[test]
fn a_forgotten_client_leaves_nothing_to_put_back() {
    let mut disk = Disk::new();
    disk.queue("alice", 1);
    disk.queue("bob", 1);
    disk.kept.pass().unwrap();
    disk.take("alice", 1);
    disk.kept.forget("alice").unwrap();
    let disk = disk.restart();
    assert!(!disk.queued("alice", 1).exists());
    assert!(disk.queued("bob", 1).exists());
}
