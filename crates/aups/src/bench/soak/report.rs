//! What came out of it.

use super::{
    Plan,
    board::{Board, Notes, SOURCES},
    marks::Marks,
    memory::{Growth, Memory},
    readers::{Part, READERS},
};
use crate::cli::terminal::table;
use serde_json::{Value, json};
use std::time::Duration;

/// The outcome of a soak.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    took: Duration,
    taken: [u64; SOURCES],
    nomad_returns: u64,
    notes: Vec<Notes>,
    memory: Memory,
}

impl Report {
    pub(super) fn new(plan: Plan, took: Duration, board: &Board, memory: Memory) -> Self {
        Self {
            plan,
            took,
            taken: std::array::from_fn(|source| board.next_number(source)),
            nomad_returns: board.nomad_returns(),
            notes: (0..READERS.len()).map(|reader| board.notes(reader)).collect(),
            memory,
        }
    }

    fn readers(&self) -> impl Iterator<Item = Read<'_>> {
        let read = |(part, notes)| Read { part, notes, taken: &self.taken };
        READERS.iter().zip(&self.notes).map(read)
    }

    /// Keys that were used, as far as those who were denied them saw.
    fn keys(&self) -> usize {
        self.notes.iter().map(|notes| notes.denied_keys.len()).max().unwrap_or_default()
    }

    fn is_complete(&self) -> bool {
        self.took >= self.plan.duration
    }

    /// What must not be, in words; none if all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<_> = self.readers().flat_map(|read| read.faults()).collect();
        if self.taken.contains(&0) {
            faults.push("a source sent nothing".to_owned());
        }
        if let Some(growth) = self.memory.growth().filter(|growth| !growth.is_flat()) {
            let Growth { grown, bound, .. } = growth;
            let (grown, bound) = (mebibytes(grown), mebibytes(bound));
            faults.push(format!("memory grew by {grown} in the second half, more than {bound}"));
        }
        faults
    }

    /// For machines: seconds, bytes and counts.
    pub(crate) fn json(&self) -> Value {
        let growth = self.memory.growth();
        let samples = self.memory.samples().iter();
        json!({
            "seconds": self.took.as_secs_f64(),
            "complete": self.is_complete(),
            "ratePerSecond": self.plan.rate.per_second(),
            "lifeSeconds": self.plan.life.as_secs(),
            "durability": self.plan.durability,
            "accepted": self.taken.iter().sum::<u64>(),
            "keys": self.keys(),
            "sourceReturns": self.nomad_returns,
            "readers": self.readers().map(|read| read.json()).collect::<Vec<_>>(),
            "rss": {
                "samples": samples.map(|(at, bytes)| json!({ "seconds": at.as_secs_f64(), "bytes": bytes })).collect::<Vec<_>>(),
                "meanBytes": growth.map(|growth| growth.mean),
                "grownBytes": growth.map(|growth| growth.grown),
                "grownBytesMax": growth.map(|growth| growth.bound),
                "flat": growth.map(|growth| growth.is_flat()),
            },
            "faults": self.faults(),
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<_> = self.readers().map(|read| read.row()).collect();
        let accepted: u64 = self.taken.iter().sum();
        let memory = match self.memory.growth() {
            Some(growth) => format!(
                "memory in the second half: {} on the average, {} from its beginning to its end by the line\n\
                 through it (at most {})",
                mebibytes(growth.mean),
                mebibytes_more(growth.grown),
                mebibytes(growth.bound)
            ),
            None => "memory: too short a run to judge, it takes 10 minutes".to_owned(),
        };
        format!(
            "{}\n\n{} of {}{}: {accepted} readings accepted, {} keys of {} s used\n\
             a source was removed and registered again {} times\n{memory}",
            table(&["READER", "MAY READ", "OPENED", "LOST", "TWICE", "DENIED", "REJECTED", "RETURNS"], &rows),
            in_minutes(self.took),
            in_minutes(self.plan.duration),
            if self.is_complete() { "" } else { ", stopped" },
            self.keys(),
            self.plan.life.as_secs(),
            self.nomad_returns,
        )
    }
}

/// What a reader made of what was accepted.
struct Read<'a> {
    part: &'a Part,
    notes: &'a Notes,
    taken: &'a [u64; SOURCES],
}

impl Read<'_> {
    fn sum(&self, of: impl Fn(&Marks, u64) -> u64, may: bool) -> u64 {
        let marks = self.notes.opened.iter().zip(self.taken).enumerate();
        marks
            .filter(|(source, _)| self.part.may_read.contains(source) == may)
            .map(|(_, (marks, taken))| of(marks, *taken))
            .sum()
    }

    fn opened(&self) -> u64 {
        self.sum(|marks, _| marks.distinct(), true)
    }

    /// Accepted, readable for it, and not opened.
    fn lost(&self) -> u64 {
        self.sum(Marks::missing_below, true)
    }

    fn doubled(&self) -> u64 {
        self.sum(|marks, _| marks.doubled(), true)
    }

    /// Opened although it may not read it.
    fn opened_unentitled(&self) -> u64 {
        self.sum(|marks, _| marks.distinct(), false) + self.notes.foreign
    }

    fn is_outsider(&self) -> bool {
        self.part.may_read.is_empty()
    }

    fn faults(&self) -> Vec<String> {
        let Notes { denied, rejected, rejected_last, disconnections, .. } = self.notes;
        let mut faults = Vec::new();
        let mut fault = |is: bool, words: String| faults.extend(is.then(|| format!("{}: {words}", self.part.name)));
        fault(self.lost() > 0, format!("{} accepted readings were not opened", self.lost()));
        fault(self.doubled() > 0, format!("{} readings came twice", self.doubled()));
        fault(self.opened_unentitled() > 0, format!("opened {} that it may not read", self.opened_unentitled()));
        fault(!self.is_outsider() && *denied > 0, format!("was denied {denied} messages that it may read"));
        fault(self.is_outsider() && *denied == 0, "was never denied anything: it cannot have asked".to_owned());
        fault(*rejected > 0, format!("rejected {rejected} messages, the last because: {rejected_last}"));
        fault(*disconnections > 0, format!("lost its connection {disconnections} times"));
        faults
    }

    fn json(&self) -> Value {
        json!({
            "name": self.part.name,
            "entitled": !self.is_outsider(),
            "opened": self.opened(),
            "openedUnentitled": self.opened_unentitled(),
            "lost": self.lost(),
            "doubled": self.doubled(),
            "denied": self.notes.denied,
            "rejected": self.notes.rejected,
            "disconnections": self.notes.disconnections,
            "returns": self.notes.returns,
        })
    }

    fn row(&self) -> [String; 8] {
        let Part { name, may_read, .. } = self.part;
        let numbers = [
            self.opened() + self.opened_unentitled(),
            self.lost(),
            self.doubled(),
            self.notes.denied,
            self.notes.rejected,
            self.notes.returns,
        ];
        let [opened, lost, doubled, denied, rejected, returns] = numbers.map(|number| number.to_string());
        [(*name).to_owned(), super::readers::in_words(may_read), opened, lost, doubled, denied, rejected, returns]
    }
}

/// `12:05`, or `1:02:05`.
pub(super) fn in_minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

fn mebibytes_more(bytes: f64) -> String {
    format!("{:+.2} MiB", bytes / f64::from(1 << 20))
}
