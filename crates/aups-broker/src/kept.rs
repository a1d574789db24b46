//! A second name for every queued message on disk, held until its next home is written.
//!
//! When the `mqtt5` crate hands a queued message to a client, it deletes the file of the queue and writes one of the
//! messages in flight, in this order, up to a flush apart. A kill in between would lose a message that was safe for days. So
//! every file under `queues/` gets a hard link under `kept/`, which stays until the file was found missing in two
//! passes, with a whole flush and a sync of the file system between them: by then the message is in flight on disk, acknowledged, or queued again. At start
//! the files that are missing are put back from their links; what a client has seen already it gets once more.
//!
//! A file is known by its number in the queue and its inode: the crate gives numbers again when it puts messages back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

/// A directory that did not change for so long when it was read is not read again before it changes: far longer than a
/// tick of a file system's clock.
const QUIET: Duration = Duration::from_secs(2);
/// How often, and how far apart, the lock is tried.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The links.
#[derive(Debug)]
pub(crate) struct Kept {
    queues: PathBuf,
    links: PathBuf,
    probe: PathBuf,
    /// The directory itself, by which the file system is known.
    dir: File,
    clients: BTreeMap<String, Client>,
    _lock: File,
}

impl Kept {
    /// Takes the directory for this process, and puts back what a kill cut off between a queue and its client. Before the
    /// broker reads its queues. Blocks.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] where another process has the directory.
    pub(crate) fn restore(data_dir: &Path) -> io::Result<Self> {
        let kept = Self {
            _lock: lock(&data_dir.join("lock"))?,
            queues: data_dir.join("queues"),
            links: data_dir.join("kept"),
            probe: data_dir.join("probe"),
            dir: File::open(data_dir)?,
            clients: BTreeMap::new(),
        };
        fs::create_dir_all(&kept.queues)?;
        fs::create_dir_all(&kept.links)?;
        kept.check_links()?;
        kept.put_back()
    }

    /// One pass, after a flush: links what is queued, gives up what has long gone. Says whether nothing is in motion.
    /// Fails where the disk takes no more writes. Blocks.
    pub(crate) fn pass(&mut self) -> io::Result<bool> {
        let now = self.probe()?;
        self.sync()?;
        for name in subdirectories(&self.queues)? {
            self.clients.entry(name).or_default();
        }
        let mut settled = true;
        for (name, client) in &mut self.clients {
            settled &= client.pass(&self.queues.join(name), &self.links.join(name), now)?;
        }
        self.clients.retain(|_, client| client.exists);
        Ok(settled)
    }

    /// Gives up the links of a client whose queue was emptied for good. After a flush. Blocks.
    pub(crate) fn forget(&mut self, client: &str) -> io::Result<()> {
        self.clients.remove(client);
        found(fs::remove_dir_all(self.links.join(client))).map(drop)
    }

    /// Waits until all that was written is on disk. The crate syncs neither what is queued nor what is in flight, each in a
    /// file of its own: one sync of the file system costs less than hundreds of files and their directories.
    fn sync(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        rustix::fs::syncfs(&self.dir)?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        rustix::fs::sync();
        Ok(())
    }

    /// Writes a file, so that a full or failed disk is noticed here: the crate only logs what it could not write. Answers
    /// with the file system's time.
    fn probe(&self) -> io::Result<SystemTime> {
        fs::write(&self.probe, [0; 4_096])?;
        fs::metadata(&self.probe)?.modified()
    }

    /// Fails where the file system has no hard links.
    fn check_links(&self) -> io::Result<()> {
        self.probe()?;
        let link_to_probe = self.links.join("probe");
        link(&self.probe, &link_to_probe)?;
        fs::remove_file(link_to_probe)
    }

    fn put_back(mut self) -> io::Result<Self> {
        for name in subdirectories(&self.links)? {
            let (queue, links) = (self.queues.join(&name), self.links.join(&name));
            fs::create_dir_all(&queue)?;
            let mut client = Client::default();
            let kept = files(&links, Name::of_link)?;
            // Where the number was given again, in front of everything.
            let mut front = kept.first().map_or(u64::MAX, |file| file.seq);
            front = files(&queue, Name::of_queued)?.first().map_or(front, |file| front.min(file.seq));
            for file in kept.into_iter().rev() {
                let mut home = queue.join(file.queue_name());
                if found(fs::metadata(&home))?.is_some_and(|other| other.ino() != file.inode) {
                    front = front.saturating_sub(1);
                    home = queue.join(Name { seq: front, ..file }.queue_name());
                }
                link(&links.join(file.link_name()), &home)?;
                client.messages.insert(file, Message::Queued);
            }
            self.clients.insert(name, client);
        }
        Ok(self)
    }
}

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    seq: u64,
    inode: u64,
}

impl Name {
    /// As the crate names the files of its queues.
    fn queue_name(self) -> String {
        format!("{:020}.json", self.seq)
    }

    fn of_queued(name: &str, inode: u64) -> Option<Self> {
        Some(Self { seq: name.strip_suffix(".json")?.parse().ok()?, inode })
    }

    /// As we name their links.
    fn link_name(self) -> String {
        format!("{:020}-{}", self.seq, self.inode)
    }

    fn of_link(name: &str, inode: u64) -> Option<Self> {
        Some(Self { seq: name.split_once('-')?.0.parse().ok()?, inode })
    }
}

/// The links of one client's queue.
#[derive(Debug, Default)]
struct Client {
    messages: BTreeMap<Name, Message>,
    /// When the queue had last changed, where it was quiet as it was read.
    quiet_since: Option<SystemTime>,
    exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Queued,
    /// Missing in the last pass.
    Missing,
}

impl Client {
    /// Whether nothing changed.
    fn pass(&mut self, queue: &Path, links: &Path, now: SystemTime) -> io::Result<bool> {
        let modified = found(fs::metadata(queue).and_then(|metadata| metadata.modified()))?;
        let in_motion = self.messages.values().any(|message| *message == Message::Missing);
        if modified.is_some() && modified == self.quiet_since && !in_motion {
            return Ok(true);
        }
        let queued = found(files(queue, Name::of_queued))?.unwrap_or_default();
        let changed = self.link_new(&queued, queue, links)? | self.give_up_gone(&queued, links)?;
        self.quiet_since = modified.filter(|at| now.duration_since(*at).is_ok_and(|age| age > QUIET));
        self.exists = modified.is_some() || !self.messages.is_empty();
        if self.messages.is_empty() {
            found(fs::remove_dir(links))?;
        }
        Ok(!changed)
    }

    fn link_new(&mut self, queued: &BTreeSet<Name>, queue: &Path, links: &Path) -> io::Result<bool> {
        let new: Vec<_> = queued.iter().filter(|file| !self.messages.contains_key(file)).copied().collect();
        if !new.is_empty() {
            fs::create_dir_all(links)?;
        }
        for file in &new {
            link(&queue.join(file.queue_name()), &links.join(file.link_name()))?;
            self.messages.insert(*file, Message::Queued);
        }
        Ok(!new.is_empty())
    }

    fn give_up_gone(&mut self, queued: &BTreeSet<Name>, links: &Path) -> io::Result<bool> {
        let gone: Vec<_> = self
            .messages
            .iter()
            .filter(|(file, _)| !queued.contains(file))
            .map(|(file, state)| (*file, *state))
            .collect();
        for (file, state) in &gone {
            if *state == Message::Queued {
                self.messages.insert(*file, Message::Missing);
            } else {
                found(fs::remove_file(links.join(file.link_name())))?;
                self.messages.remove(file);
            }
        }
        Ok(!gone.is_empty())
    }
}

/// Waits a little: a killed predecessor may still be dying.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    for _ in 1..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    file.try_lock()?;
    Ok(file)
}

/// The files of a directory that have such a name.
fn files(dir: &Path, name: impl Fn(&str, u64) -> Option<Name>) -> io::Result<BTreeSet<Name>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files.extend(entry.file_name().to_str().and_then(|text| name(text, entry.ino())));
    }
    Ok(files)
}

/// One per client.
pub(crate) fn subdirectories(dir: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// Links a file that may be gone, under a name that may be taken by itself.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => found(other).map(drop),
    }
}

/// None for what is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
