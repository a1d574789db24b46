//! What has happened so far: what was sent, and what each reader could make of it.

use super::{
    station::{OPERATOR, topics},
    weather::SENSORS,
};
use crate::latency::{Latencies, in_words};
use aups_core::{Item, Score, Topic};
use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// The sensors' and the readers' common notes.
#[derive(Debug)]
pub(super) struct Board {
    readers: Vec<&'static str>,
    /// How many readings each sensor has to send.
    hours: usize,
    topics: [String; SENSORS],
    notes: Mutex<Notes>,
}

#[derive(Debug)]
struct Notes {
    rows: [Row; SENSORS],
    latencies: Latencies,
}

/// One topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// Readings that the NOS took.
    pub(super) sent: usize,
    /// The newest value that somebody opened, in words.
    pub(super) newest: String,
    /// Least and greatest accuracy that somebody saw.
    pub(super) accuracy: Option<(Score, Score)>,
    /// The reading of the least accuracy, in words; among several, the one of the largest value.
    pub(super) doubtful: String,
    /// What each reader could open, in the order of the readers.
    pub(super) counts: Vec<Count>,
    /// Its accuracy and the negative of its value: what is less is more doubtful.
    doubt: Option<(Score, f64)>,
    /// The number of the newest hour that somebody opened.
    newest_hour: usize,
    /// When each hour's reading was sent first.
    departures: Vec<Instant>,
}

/// What a reader made of a topic's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) opened: usize,
    pub(super) denied: usize,
}

impl Board {
    /// An empty board for these readers.
    pub(super) fn new(readers: Vec<&'static str>, hours: usize) -> Self {
        let row = Row { counts: vec![Count::default(); readers.len()], ..Row::default() };
        let rows = std::array::from_fn(|_| row.clone());
        Self { readers, hours, topics: topics(), notes: Mutex::new(Notes { rows, latencies: Latencies::default() }) }
    }

    pub(super) fn readers(&self) -> &[&'static str] {
        &self.readers
    }

    /// Every topic with what is known of it.
    pub(super) fn rows(&self) -> Vec<(String, Row)> {
        self.topics.iter().cloned().zip(self.notes().rows.iter().cloned()).collect()
    }

    /// How many readings were taken, and how many there are.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.notes().rows.iter().map(|row| row.sent).sum(), self.hours * SENSORS)
    }

    /// A sensor is about to send its next readings.
    pub(super) fn sending(&self, sensor: usize, readings: usize) {
        if let Some(row) = self.notes().rows.get_mut(sensor) {
            row.departures.extend(std::iter::repeat_n(Instant::now(), readings));
        }
    }

    /// The NOS took a sensor's readings.
    pub(super) fn sent(&self, sensor: usize, readings: usize) {
        if let Some(row) = self.notes().rows.get_mut(sensor) {
            row.sent += readings;
        }
    }

    /// A reader opened an item.
    pub(super) fn opened(&self, reader: usize, topic: &Topic, item: &Item) {
        let now = Instant::now();
        let mut notes = self.notes();
        let Notes { rows, latencies } = &mut *notes;
        let Some(row) = self.place(topic).and_then(|place| rows.get_mut(place)) else { return };
        if let Some(count) = row.counts.get_mut(reader) {
            count.opened += 1;
        }
        let hour: usize = item.data.further("hour").and_then(|hour| hour.get().parse().ok()).unwrap_or(0);
        latencies.extend(hour.checked_sub(1).and_then(|sent| row.departures.get(sent)).map(|sent| now - *sent));
        row.learn(hour, item);
    }

    /// A reader was denied a message.
    pub(super) fn denied(&self, reader: usize, topic: &Topic) {
        let mut notes = self.notes();
        let row = self.place(topic).and_then(|place| notes.rows.get_mut(place));
        if let Some(count) = row.and_then(|row| row.counts.get_mut(reader)) {
            count.denied += 1;
        }
    }

    /// How many messages a reader has not yet opened or been denied.
    pub(super) fn missing(&self, reader: usize) -> usize {
        let seen = |row: &Row| row.counts.get(reader).map_or(0, |count| count.opened + count.denied);
        self.notes().rows.iter().map(|row| self.hours.saturating_sub(seen(row))).sum()
    }

    /// Whether every sensor has sent all that it has.
    pub(super) fn all_sent(&self) -> bool {
        self.notes().rows.iter().all(|row| row.sent >= self.hours)
    }

    /// The last lines of the demo.
    pub(super) fn summary(&self, keys: usize) -> String {
        let notes = self.notes();
        let sent: usize = notes.rows.iter().map(|row| row.sent).sum();
        let mut lines = format!("sent {sent} readings, {} per topic\n", sent / SENSORS);
        for (place, name) in self.readers.iter().enumerate().filter(|(_, name)| **name != OPERATOR) {
            let Count { opened, denied } = sum(&notes.rows, place);
            // Writing to a String does not fail.
            let _ = writeln!(lines, "reader {name}: opened {opened}, denied {denied}");
        }
        let _ = writeln!(lines, "keys {keys}");
        let told = |percent| notes.latencies.percentile(percent).map_or_else(|| "-".to_owned(), in_words);
        let _ = write!(lines, "latency p50 {} p99 {}", told(50), told(99));
        lines
    }

    fn place(&self, topic: &Topic) -> Option<usize> {
        self.topics.iter().position(|known| known == topic.as_str())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // A panic elsewhere leaves numbers behind that are still numbers.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    /// Takes over what an item tells about its topic.
    fn learn(&mut self, hour: usize, item: &Item) {
        let value = format!("{} {}", item.data.value, item.data.unit.as_deref().unwrap_or_default());
        let accuracy = item.quality.accuracy;
        let (least, greatest) = self.accuracy.unwrap_or((accuracy, accuracy));
        let doubt = (accuracy, -item.data.number().unwrap_or_default());
        if self.doubt.is_none_or(|known| doubt < known) {
            (self.doubt, self.doubtful) = (Some(doubt), format!("{} {value}", item.data.name));
        }
        self.accuracy = Some((least.min(accuracy), greatest.max(accuracy)));
        if hour >= self.newest_hour {
            (self.newest_hour, self.newest) = (hour, value);
        }
    }
}

/// What a reader made of all topics together.
pub(super) fn sum<'a>(rows: impl IntoIterator<Item = &'a Row>, reader: usize) -> Count {
    rows.into_iter().filter_map(|row| row.counts.get(reader)).fold(Count::default(), |sum, count| Count {
        opened: sum.opened + count.opened,
        denied: sum.denied + count.denied,
    })
}

#[cfg(test)]
mod tests;
