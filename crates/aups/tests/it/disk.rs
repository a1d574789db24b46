//! A disk that forgets what was not synced, and fills up on demand: `disk/disk.c`, loaded into the program under test, and
//! what puts the loss into effect after a kill.

use crate::program::text;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/disk/disk.c");
/// Bytes of `struct record`.
const RECORD_BYTES: usize = 40;

/// The library, built, and where it keeps its log.
pub(crate) struct Disk {
    dir: TempDir,
    root: PathBuf,
}

/// What was lost.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Loss {
    pub(crate) writes: u64,
    pub(crate) names: u64,
}

/// What a program did.
#[derive(Debug)]
enum Deed {
    Write { offset: u64, size: u64, before: Vec<u8> },
    Create(PathBuf),
    Remove { path: PathBuf, backup: PathBuf },
    Rename { to: PathBuf, from: PathBuf, backup: Option<PathBuf> },
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
}

impl Disk {
    /// For what is done below a directory.
    pub(crate) fn below(root: &Path) -> Self {
        // Beside it: a backup is a link, which does not reach another file system.
        let dir = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-pthread", "-o"])
            .arg(dir.path().join("disk.so"))
            .arg(SOURCE)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", text(&built.stderr));
        let disk = Self { dir, root: root.to_owned() };
        fs::create_dir(disk.log_dir()).unwrap();
        disk
    }

    /// What a program needs in its environment to work on this disk.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let pair = |name: &str, path: PathBuf| (name.to_owned(), path.to_str().unwrap().to_owned());
        vec![
            pair("LD_PRELOAD", self.dir.path().join("disk.so")),
            pair("AUPS_DISK_ROOT", self.root.clone()),
            pair("AUPS_DISK_LOG", self.log_dir()),
        ]
    }

    /// From now on nothing more can be written, or it can again.
    pub(crate) fn set_full(&self, full: bool) {
        let flag = self.log_dir().join("full");
        if full { fs::write(flag, "").unwrap() } else { fs::remove_file(flag).unwrap() }
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Takes away what the program, which was killed, had not synced: for each file and each directory all of it, the last
    /// part of it, or nothing, as the random numbers say.
    pub(crate) fn lose(&self, random: &mut Random) -> Loss {
        let log = fs::read(self.log_dir().join("log")).unwrap_or_default();
        let lost = lost(read_log(&log), random);
        let mut loss = Loss::default();
        let mut files = HashMap::new();
        for dir in [&self.root, &self.log_dir()] {
            find_files(dir, &mut files);
        }
        for (inode, deed) in &lost {
            if let Deed::Write { offset, size, before } = deed
                && let Some(path) = files.get(inode)
            {
                undo_write(path, *offset, *size, before, random);
                loss.writes += 1;
            }
        }
        for (_, deed) in &lost {
            loss.names += u64::from(undo_name(deed));
        }
        fs::remove_dir_all(self.log_dir()).unwrap();
        fs::create_dir(self.log_dir()).unwrap();
        loss
    }
}

/// Numbers that look random, the same for a seed (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than so much.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// The deeds that no sync came after, with the inode of the file or directory that they changed.
fn read_log(log: &[u8]) -> Vec<(u64, Deed)> {
    let (mut deeds, mut synced, mut all_synced) = (Vec::new(), HashMap::<u64, u64>::new(), 0);
    let mut position = 0;
    // The last record may be cut off by the kill: what it tells of was not done.
    while let Some(record) = log.get(position..position + RECORD_BYTES) {
        let short = |at: usize| u32::from_ne_bytes(record[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(record[at..at + 8].try_into().unwrap());
        let (first, second) = (short(4) as usize, short(8) as usize);
        let (inode, offset, size) = (long(16), long(24), long(32));
        let begin = position + RECORD_BYTES;
        let Some(bytes) = log.get(begin..begin + first + second) else { break };
        let (first, second) = bytes.split_at(first);
        let path = |bytes: &[u8]| PathBuf::from(text(bytes));
        let deed = match short(0) {
            1 => Some(Deed::Write { offset, size, before: first.to_vec() }),
            3 => Some(Deed::Create(path(first))),
            4 => Some(Deed::Remove { path: path(first), backup: path(second) }),
            5 => {
                let mut parts = second.split(|byte| *byte == 0);
                let from = path(parts.next().unwrap());
                let backup = parts.next().filter(|backup| !backup.is_empty()).map(path);
                Some(Deed::Rename { to: path(first), from, backup })
            }
            6 => Some(Deed::MakeDir(path(first))),
            7 => Some(Deed::RemoveDir(path(first))),
            2 => {
                let until = synced.entry(inode).or_default();
                *until = offset.max(*until);
                None
            }
            8 => {
                all_synced = offset.max(all_synced);
                None
            }
            other => panic!("a record of kind {other} at {position} of the log"),
        };
        deeds.extend(deed.map(|deed| (position as u64, inode, deed)));
        position = begin + bytes.len();
    }
    let is_lost = |at: u64, inode: u64| at >= all_synced && at >= synced.get(&inode).copied().unwrap_or_default();
    deeds.into_iter().filter(|(at, inode, _)| is_lost(*at, *inode)).map(|(_, inode, deed)| (inode, deed)).collect()
}

/// Those that are lost, the last first.
fn lost(unsynced: Vec<(u64, Deed)>, random: &mut Random) -> Vec<(u64, Deed)> {
    let mut counts = BTreeMap::<u64, u64>::new();
    for (inode, _) in &unsynced {
        *counts.entry(*inode).or_default() += 1;
    }
    // How many of each file's deeds are on the disk all the same.
    let mut kept = counts;
    for count in kept.values_mut() {
        *count = match random.below(4) {
            0 => *count,
            1 => random.below(*count + 1),
            _ => 0,
        };
    }
    let mut lost = Vec::new();
    for (inode, deed) in unsynced {
        match kept.get_mut(&inode) {
            Some(left) if *left > 0 => *left -= 1,
            _ => lost.push((inode, deed)),
        }
    }
    lost.reverse();
    lost
}

fn find_files(dir: &Path, files: &mut HashMap<u64, PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            find_files(&entry.path(), files);
        } else {
            files.insert(metadata.ino(), entry.path());
        }
    }
}

/// Puts back what was there. Of bytes that were added at the end, some may be left: a write that was cut short.
fn undo_write(path: &Path, offset: u64, size: u64, before: &[u8], random: &mut Random) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.write_all_at(before, offset).unwrap();
    let length = file.metadata().unwrap().len();
    let left = if length > size && random.below(4) == 0 { random.below(length - size) } else { 0 };
    file.set_len(size + left).unwrap();
}

/// Whether it was one of a name.
fn undo_name(deed: &Deed) -> bool {
    // What was undone before may have taken the directory away: then there is nothing left to undo.
    let _ = match deed {
        Deed::Write { .. } => return false,
        Deed::Create(path) => fs::remove_file(path),
        Deed::Remove { path, backup } => fs::hard_link(backup, path),
        Deed::Rename { to, from, backup } => fs::rename(to, from).and_then(|()| match backup {
            Some(backup) => fs::hard_link(backup, to),
            None => Ok(()),
        }),
        Deed::MakeDir(path) => fs::remove_dir_all(path),
        Deed::RemoveDir(path) => fs::create_dir(path),
    };
    true
}
