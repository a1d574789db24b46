//! A text that a source sent: what it says becomes entries, or the source is told what is wrong with it.

use super::{AcceptError, Acceptance, Entry, Sender};
use crate::{
    json::{Document, Fault, JsonError, Place, Value},
    normalise::{
        ITEMS_MAX,
        senml::{SenmlError, resolve},
    },
    problem::Refusal,
};
use aups_core::Problem;
use aups_store::queue::{APPEND_BYTES_MAX, RECORD_OVERHEAD_BYTES};

/// Most values in one array.
const BATCH_ITEMS_MAX: usize = ITEMS_MAX;
/// Most bytes of all items that one text makes: as many as the ingest queue takes together.
const ITEMS_BYTES_MAX: usize = APPEND_BYTES_MAX - BATCH_ITEMS_MAX * RECORD_OVERHEAD_BYTES;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON: an array is a batch, anything else is one value.
    Json,
    /// A `SenML` pack.
    Senml,
}

impl Acceptance {
    /// Puts the entries of one text behind those that are there. Of a text that is refused some may be there: they are not
    /// to be kept.
    pub(crate) fn take(
        &self,
        text: &[u8],
        content: Content,
        sender: &Sender,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        let document = Document::read(text).map_err(|error| bad_json(&error))?;
        match content {
            Content::Json => self.take_values(&document, sender, entries),
            Content::Senml => self.take_pack(&document, sender, entries),
        }
    }

    fn take_values(&self, document: &Document<'_>, sender: &Sender, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        let values = document.root().elements().unwrap_or_else(|| vec![document.root()]);
        if values.len() > BATCH_ITEMS_MAX {
            let detail = format!("a batch has at most {BATCH_ITEMS_MAX} values; send several, or application/x-ndjson");
            return Err(Problem::new(413, "too-large", "batch too large", detail).into());
        }
        let config = self.config();
        let mut made = Made::behind(entries);
        for value in values {
            let taken = self.accept(value, sender, &config, entries);
            taken.map_err(|error| bad_value(&error, document, value))?;
            made.check(entries)?;
        }
        Ok(())
    }

    fn take_pack(&self, document: &Document<'_>, sender: &Sender, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        let arrived = self.arrived(sender);
        let readings = resolve(document.root(), arrived.at()).map_err(|error| bad_pack(&error, document))?;
        let config = self.config();
        let mut made = Made::behind(entries);
        for mut reading in readings {
            let trimmed = config.mappings.trim(&mut reading).map_err(|_| AcceptError::ItemTooLong);
            let entered = trimmed.and_then(|()| self.enter(reading, sender, arrived, &config, entries));
            entered.map_err(|error| bad_value(&error, document, document.root()))?;
            made.check(entries)?;
        }
        Ok(())
    }
}

/// What one text has made so far.
struct Made {
    before: usize,
    counted: usize,
    bytes: usize,
}

impl Made {
    fn behind(entries: &[Entry]) -> Self {
        Self { before: entries.len(), counted: entries.len(), bytes: 0 }
    }

    fn check(&mut self, entries: &[Entry]) -> Result<(), Refusal> {
        self.bytes += entries.iter().skip(self.counted).map(|entry| entry.json.len()).sum::<usize>();
        self.counted = entries.len();
        if entries.len() - self.before <= BATCH_ITEMS_MAX && self.bytes <= ITEMS_BYTES_MAX {
            return Ok(());
        }
        let detail = format!(
            "this would make more than {BATCH_ITEMS_MAX} items or {ITEMS_BYTES_MAX} bytes of items; send several"
        );
        Err(Problem::new(413, "too-large", "batch too large", detail).into())
    }
}

pub(crate) fn bad_json(error: &JsonError) -> Problem {
    let code = match error.fault {
        Fault::Empty => "empty",
        _ => "malformed-json",
    };
    let problem = Problem::new(400, code, "malformed JSON", error.to_string()).at(error.place.line, error.place.column);
    match &error.fault {
        Fault::DuplicateMember(member) => problem.member(member.clone()),
        _ => problem,
    }
}

fn bad_pack(error: &SenmlError<'_>, document: &Document<'_>) -> Problem {
    let detail = match &error.field {
        Some(field) => {
            let field: String = field.chars().take(64).collect();
            format!("`{field}`: {}", error.fault)
        }
        None => error.fault.to_string(),
    };
    let problem = at(Problem::new(400, "malformed-senml", "malformed SenML", detail), document.place_of(error.value));
    match &error.field {
        Some(field) => problem.member(field.chars().take(64).collect::<String>()),
        None => problem,
    }
}

fn bad_value(error: &AcceptError<'_>, document: &Document<'_>, value: Value<'_>) -> Problem {
    let detail = error.to_string();
    let problem = |status, code, title| Problem::new(status, code, title, detail);
    match error {
        AcceptError::Mapping(error) => {
            let problem = problem(400, "malformed-reading", "malformed reading").member(error.member);
            at(problem, document.place_of(error.value))
        }
        AcceptError::TopicTooLong => {
            at(problem(400, "malformed-reading", "malformed reading").member("name"), document.place_of(value))
        }
        AcceptError::Excess(_) | AcceptError::ItemTooLong => {
            at(problem(413, "too-large", "item too large"), document.place_of(value))
        }
    }
}

fn at(problem: Problem, Place { line, column }: Place) -> Problem {
    problem.at(line, column)
}
