//! What a large realm would take, on paper: arithmetic with costs that were measured here, nothing more.

use super::{
    Results,
    tables::{Form, with},
};

/// The realm that is asked about.
const MESSAGES_PER_SECOND: f64 = 1e6;
const TOPICS: f64 = 1e6;
const READERS: f64 = 1e7;
/// What one reader asks for: the keys of so many scopes, once per life of a key.
const SCOPES_OF_A_READER: f64 = 4.0;
const KEY_LIFE_SECONDS: f64 = 300.0;
/// A core is planned to be busy for so much of the time.
const BUSY: f64 = 0.6;
const CORES_OF_A_NOS: f64 = 16.0;

/// The block, or what is missing for it.
pub(super) fn block(results: &Results) -> String {
    let figure = |name: &str, pointer: &str| results.get(name)?.pointer(pointer)?.as_f64();
    let costs = || {
        Some(Costs {
            item_micros: with(results.get("load-ndjson")?, "/cpuMicrosPerItem")?,
            topic_bytes: figure("scale-topics", "/rssBytesEach")?,
            reader_bytes: figure("scale-readers", "/rssBytesEach")?,
            key_micros: figure("keys", "/answerMicros")?,
        })
    };
    costs().map_or_else(|| "*Not measured yet: what this is reckoned from.*".to_owned(), |costs| costs.told())
}

struct Costs {
    item_micros: f64,
    topic_bytes: f64,
    reader_bytes: f64,
    key_micros: f64,
}

impl Costs {
    fn told(&self) -> String {
        let cores_of_data = MESSAGES_PER_SECOND * self.item_micros / 1e6 / BUSY;
        let nodes = (cores_of_data / CORES_OF_A_NOS).ceil();
        let key_requests = READERS / KEY_LIFE_SECONDS;
        let cores_of_keys = key_requests * self.key_micros / 1e6 / BUSY;
        let topics = TOPICS / nodes * self.topic_bytes;
        let readers = READERS * self.reader_bytes;
        let count = |number| Form::Count.of(number);
        let line = |what: &str, reckoned: String, result: String| format!("| {what} | {reckoned} | {result} |\n");
        let table = [
            line(
                "data path",
                format!("{} messages/s × {:.1} µs ÷ {BUSY} busy", count(MESSAGES_PER_SECOND), self.item_micros),
                format!("{} cores: {} NOSs of {CORES_OF_A_NOS} cores", count(cores_of_data.ceil()), count(nodes)),
            ),
            line(
                "topics of one NOS",
                format!("{} topics ÷ {} × {} bytes", count(TOPICS), count(nodes), count(self.topic_bytes)),
                Form::Megabytes.of(topics),
            ),
            line(
                "key requests",
                format!(
                    "{} readers ÷ {KEY_LIFE_SECONDS} s, each for {SCOPES_OF_A_READER} scopes at once",
                    count(READERS)
                ),
                format!("{}/s", count(key_requests)),
            ),
            line(
                "answering them",
                format!("{}/s × {:.0} µs ÷ {BUSY} busy", count(key_requests), self.key_micros),
                format!("{} cores, over all NOSs", count(cores_of_keys.ceil())),
            ),
            line(
                "readers in memory",
                format!("{} readers × {} bytes, in every NOS", count(READERS), count(self.reader_bytes)),
                format!("{:.1} GB", readers / 1e9),
            ),
        ];
        format!("| | reckoned | comes to |\n| --- | --- | --- |\n{}", table.concat())
    }
}
