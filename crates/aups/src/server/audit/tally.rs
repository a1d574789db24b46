//! What is counted instead of written line by line: reads, and the refusals of a flood.

use super::{Call, Event};
use aups_core::UnixMillis;
use std::{collections::HashMap, net::IpAddr};

/// Most kinds of reads that are kept apart before their counts are written.
const READS_MAX: usize = 512;
/// Refusals that get a line of their own between two writings of the counts.
const REFUSALS_RECORDED_MAX: u64 = 200;
/// The same of those who are kept out or let in again.
const QUARANTINES_RECORDED_MAX: u64 = 1_000;

/// Counts since a time.
#[derive(Debug)]
pub(super) struct Tally {
    since: UnixMillis,
    reads: HashMap<Read, u64>,
    refusals: u64,
    quarantines: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Read {
    actor: String,
    address: IpAddr,
    route: String,
    status: u16,
}

impl Tally {
    pub(super) fn since(since: UnixMillis) -> Self {
        Self { since, reads: HashMap::new(), refusals: 0, quarantines: 0 }
    }

    /// Counts a read; says whether there is no room for another kind.
    pub(super) fn read(&mut self, call: &Call, route: &str, status: u16) -> bool {
        let actor = call.actor.clone().unwrap_or_default();
        let count = self.reads.entry(Read { actor, address: call.address, route: route.into(), status }).or_default();
        *count = count.saturating_add(1);
        self.reads.len() >= READS_MAX
    }

    /// Counts a refusal; says whether it gets a line of its own.
    pub(super) fn refusal(&mut self) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.refusals <= REFUSALS_RECORDED_MAX
    }

    /// Counts somebody who is kept out or let in again; says whether it gets a line of its own.
    pub(super) fn quarantine(&mut self) -> bool {
        self.quarantines = self.quarantines.saturating_add(1);
        self.quarantines <= QUARANTINES_RECORDED_MAX
    }

    /// The counts as lines.
    pub(super) fn into_events(self) -> impl Iterator<Item = Event> {
        let since = self.since;
        let refusals = self.refusals.saturating_sub(REFUSALS_RECORDED_MAX);
        let quarantines = self.quarantines.saturating_sub(QUARANTINES_RECORDED_MAX);
        let reads = self.reads.into_iter().map(move |(read, count)| {
            let Read { actor, address, route, status } = read;
            Event::Reads { actor, address, route, status, count, since }
        });
        reads.chain((refusals + quarantines > 0).then_some(Event::Unrecorded { refusals, quarantines, since }))
    }
}
