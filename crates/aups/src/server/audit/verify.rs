//! Whether a trail is what was written: follows the chain line by line, in bounded memory, and names what is wrong.

use super::{
    Event,
    chain::{Head, Link, Told},
    files::{self, Lines, Next, files},
};
use aups_core::UnixMillis;
use aups_envelope::{Checkpoint, VerifyingKey, b64};
use serde::Serialize;
use std::{fmt, io, path::Path, sync::Arc};

/// Most faults that are told; after so many, nothing further is looked at.
pub(crate) const FAULTS_MAX: usize = 100;
/// More lines than this never lie between two checkpoints, once there is one.
const UNSIGNED_LINES_MAX: u64 = super::trail::CHECKPOINT_LINES_MAX + 2 * super::trail::GROUP_LINES_MAX as u64;

/// What is known from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// The realm's key.
    pub(crate) realm_key: Option<VerifyingKey>,
    /// A checkpoint that was kept.
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The file; absent where lines came from a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<Arc<str>>,
    /// Of the file, from 1; of lines from a server: its number in the trail.
    pub(crate) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}, line {}", self.line),
            None => write!(f, "line {} of the trail", self.line),
        }
    }
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) fault: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// What a trail was found to be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// Whether nothing is wrong.
    pub(crate) ok: bool,
    /// The number of the first line; above 1, older files are elsewhere.
    pub(crate) first: u64,
    /// The number of the last one.
    pub(crate) last: u64,
    /// How many lines there are.
    pub(crate) lines: u64,
    /// How many checkpoints hold.
    pub(crate) checkpoints: u64,
    /// The newest line that a checkpoint covers; 0: none.
    pub(crate) signed_through: u64,
    /// When that was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signed_at: Option<UnixMillis>,
    /// Under which key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) realm_key: Option<VerifyingKey>,
    /// Whether that key, or the checkpoint that was kept, came from elsewhere than the trail.
    pub(crate) key_known: bool,
    /// What is wrong, in the order in which it was found; at most [`FAULTS_MAX`].
    pub(crate) faults: Vec<Fault>,
}

/// Follows a trail.
#[derive(Debug)]
pub(crate) struct Verifier {
    kept: Option<Checkpoint>,
    /// The newest line's place, number and hash; no hash if it could not be read.
    newest: Option<(Place, u64, Option<[u8; 32]>)>,
    verdict: Verdict,
}

impl Verifier {
    /// Before the first line.
    pub(crate) fn new(trusted: Trusted) -> Self {
        let Trusted { realm_key, checkpoint } = trusted;
        let realm_key = realm_key.or(checkpoint.as_ref().map(|checkpoint| checkpoint.realm_key));
        let verdict = Verdict { realm_key, key_known: realm_key.is_some(), ..Verdict::default() };
        Self { kept: checkpoint, newest: None, verdict }
    }

    /// Whether so much is wrong that there is no use in looking further.
    pub(crate) fn gave_up(&self) -> bool {
        self.verdict.faults.len() >= FAULTS_MAX
    }

    /// Takes the next line. `named`: the number that the name of its file promises, of a file's first line.
    pub(crate) fn line(&mut self, place: Place, line: &[u8], named: Option<u64>) {
        let Some(link) = Link::read(line) else {
            let number = self.newest.as_ref().map_or(named.unwrap_or(1), |(_, number, _)| number + 1);
            self.fault(&place, "this is not a line of a trail: it was changed".into());
            self.newest = Some((place, number, None));
            return;
        };
        if named.is_some_and(|named| named != link.number) {
            let number = link.number;
            self.fault(
                &place,
                format!("the file begins with line {number} of the trail: files were renamed or swapped"),
            );
        }
        let before = self.check_place(&place, &link);
        let head = Head::after(link.number, line);
        if let Some(checkpoint) = link.checkpoint() {
            self.check_checkpoint(&place, &link, checkpoint, line);
        } else if link.event == "checkpoint" || link.signed.is_some() {
            self.fault(&place, "this is no whole checkpoint: it was changed".into());
        }
        self.check_kept(&place, before.as_ref(), head);
        let first = self.newest.is_none();
        let verdict = &mut self.verdict;
        if first {
            verdict.first = link.number;
        }
        verdict.lines += 1;
        verdict.last = link.number;
        if verdict.checkpoints > 0 && link.number.saturating_sub(verdict.signed_through) == UNSIGNED_LINES_MAX {
            let since = verdict.signed_through;
            self.fault(&place, format!("no checkpoint since line {since} of the trail: checkpoints were taken out"));
        }
        self.newest = Some((place, head.number, Some(head.hash)));
    }

    /// What stands where a line should, without a line feed behind it.
    pub(crate) fn torn(&mut self, place: &Place) {
        self.fault(place, "the file ends within a line: it was cut".into());
    }

    /// What came of it.
    pub(crate) fn finish(mut self) -> Verdict {
        let (place, last) = match &self.newest {
            Some((place, number, _)) => (place.clone(), *number),
            None => (Place { file: None, line: 0 }, 0),
        };
        // A checkpoint is a line of the trail itself, after those that it covers.
        if let Some(kept) = self.kept.take().filter(|kept| kept.number >= last) {
            let (number, at) = (kept.number, kept.at);
            self.fault(
                &place,
                format!(
                    "the trail ends here, and the checkpoint of {at} comes after line {number}: its end was cut off"
                ),
            );
        }
        if self.verdict.checkpoints == 0 && !self.gave_up() {
            let what = "nothing of this trail is signed: it is of an earlier program (start this one on it once), or its \
                        checkpoints were taken out";
            self.fault(&place, what.into());
        }
        self.verdict.ok = self.verdict.faults.is_empty();
        self.verdict
    }

    /// Whether a line follows the one before; gives that one.
    fn check_place(&mut self, place: &Place, link: &Link) -> Option<(u64, [u8; 32])> {
        let (newest_place, number, hash) = match &self.newest {
            Some((newest_place, number, hash)) => (newest_place.clone(), *number, *hash),
            // Older files may be elsewhere.
            None if link.number > 1 => {
                let before = b64::decode_array(&link.prev).ok()?;
                return Some((link.number - 1, before));
            }
            None => (place.clone(), Head::NONE.number, Some(Head::NONE.hash)),
        };
        let (found, expected) = (link.number, number + 1);
        if found > expected {
            let missing = if found - 1 == expected {
                format!("line {expected} of the trail is missing")
            } else {
                format!("lines {expected} to {} of the trail are missing", found - 1)
            };
            self.fault(place, format!("{missing} before this one, which is line {found}"));
            return None;
        }
        if found < expected {
            self.fault(
                place,
                format!("this is line {found} of the trail and stands after line {number}: it was moved or added"),
            );
            return None;
        }
        let hash = hash?;
        if link.prev == b64::encode(&hash) {
            return Some((number, hash));
        }
        let (at, what) = if number == 0 {
            (place, "it does not begin a trail: its `prev` was changed, or a line was put in its place".to_owned())
        } else {
            (&newest_place, format!("it was changed: line {found} of the trail has the hash of another one as `prev`"))
        };
        let at = at.clone();
        self.fault(&at, what);
        None
    }

    fn check_checkpoint(&mut self, place: &Place, link: &Link, signed: &str, line: &[u8]) {
        let checkpoint = match Checkpoint::verify(signed, self.verdict.realm_key.as_ref()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.fault(place, format!("the checkpoint is forged or was changed: {error}")),
        };
        self.verdict.realm_key = Some(checkpoint.realm_key);
        let since = self.verdict.signed_through;
        if checkpoint.number + 1 != link.number {
            let (number, signed) = (link.number, checkpoint.number);
            return self.fault(
                place,
                format!("the checkpoint is of line {signed} and stands in line {number}: lines were added or taken out after line {since}"),
            );
        }
        if b64::encode(&checkpoint.hash) != link.prev {
            return self.fault(
                place,
                format!("the checkpoint signs other lines than these: what stands after line {since} of the trail was written anew"),
            );
        }
        let whole = Told::of(&Event::Checkpoint { signed: signed.to_owned() });
        let before = Head { number: checkpoint.number, hash: checkpoint.hash };
        if whole.line(before, checkpoint.at).as_bytes() != line {
            return self.fault(place, "the checkpoint's line was changed".into());
        }
        self.verdict.checkpoints += 1;
        self.verdict.signed_through = checkpoint.number;
        self.verdict.signed_at = Some(checkpoint.at);
    }

    /// Compares a line, and the one before if that is not here, with the checkpoint that was kept.
    fn check_kept(&mut self, place: &Place, before: Option<&(u64, [u8; 32])>, head: Head) {
        let is_first = self.newest.is_none();
        let Some(kept) = &self.kept else { return };
        let before = before.filter(|_| is_first).map(|(number, hash)| Head { number: *number, hash: *hash });
        let Some(same) = [Some(head), before].into_iter().flatten().find(|head| head.number == kept.number) else {
            return;
        };
        let (number, at) = (kept.number, kept.at);
        if same.hash != kept.hash {
            self.fault(place, format!("the checkpoint of {at} has another line {number}: the trail was written anew"));
        }
    }

    fn fault(&mut self, place: &Place, fault: String) {
        if !self.gave_up() {
            self.verdict.faults.push(Fault { place: place.clone(), fault });
        }
    }
}

/// Follows the trail in a folder; `progress` is told how many bytes were read.
pub(crate) fn folder(dir: &Path, trusted: Trusted, mut progress: impl FnMut(u64)) -> io::Result<Verdict> {
    let mut verifier = Verifier::new(trusted);
    let mut line = Vec::new();
    for (first, path) in files(dir)? {
        let file: Arc<str> = files::name(&path).into();
        let mut lines = Lines::open(&path)?;
        for number in 1_u64.. {
            let place = Place { file: Some(Arc::clone(&file)), line: number };
            match lines.next(&mut line)? {
                Next::Line => verifier.line(place, &line, (number == 1).then_some(first)),
                Next::Torn => {
                    verifier.torn(&place);
                    break;
                }
                Next::End => break,
            }
            progress(line.len() as u64 + 1);
            if verifier.gave_up() {
                return Ok(verifier.finish());
            }
        }
    }
    Ok(verifier.finish())
}

#[cfg(test)]
mod tests;
