//! What a payload would become, found out by the code that would take it, without a server and without taking anything.

pub use crate::accept::Content;

use crate::{
    accept::{Acceptance, Entry, Sender},
    config::{ActiveConfig, ConfigInForce},
    json::{Document, Value},
    settings::Transport,
    sources::SourceRecord,
};
use aups_core::{Clock, Item, Problem, Topic};
use std::{net::IpAddr, sync::Arc};

/// Who sends what is tried.
#[derive(Debug, Clone)]
pub enum TrialSource {
    /// A source that registered so.
    Registered(Arc<SourceRecord>),
    /// Any other, at an address.
    Unregistered(IpAddr),
}

/// A configuration and a source with which payloads are tried. What was tried before counts as the node's history.
#[derive(Debug)]
pub struct Trial {
    config: ConfigInForce,
    acceptance: Acceptance,
    clock: Arc<dyn Clock>,
    sender: Sender,
}

/// What became of one value, or of one pack.
#[derive(Debug)]
pub struct Tried {
    /// The mappings that were tried, in their order, and why each does not fit; the last may be the one that does.
    pub mappings: Vec<(String, Option<String>)>,
    /// The items, and where they would be published.
    pub items: Vec<(Topic, Item)>,
}

impl Trial {
    /// A trial as if all came over a protected connection.
    pub fn new(config: ConfigInForce, source: TrialSource, clock: Arc<dyn Clock>) -> Self {
        let sender = match source {
            TrialSource::Registered(source) => Sender::Registered { source, sealed: None },
            TrialSource::Unregistered(address) => Sender::Unregistered(address),
        };
        let acceptance = Acceptance::new(config.clone(), Transport::Loopback, Arc::clone(&clock), [0; 32]);
        Self { config, acceptance, clock, sender }
    }

    /// Tries one text: a value or a batch of them, or a pack. An error is what its source would be told.
    pub fn text(&self, text: &[u8], content: Content) -> Result<Vec<Tried>, Box<Problem>> {
        self.check(text, content)?;
        let config = self.acceptance.config();
        if content == Content::Senml {
            let mut entries = Vec::new();
            self.acceptance
                .take(text, content, &self.sender, &mut entries)
                .map_err(|refusal| Box::new(refusal.told().0))?;
            return Ok(vec![Tried::of(Vec::new(), entries)]);
        }
        let Ok(document) = Document::read(text) else { return Ok(Vec::new()) };
        let values = document.root().elements().unwrap_or_else(|| vec![document.root()]);
        let tried = values.into_iter().map(|value| {
            let mut entries = Vec::new();
            // That it is taken was checked before.
            let _ = self.acceptance.accept(value, &self.sender, &config, &mut entries);
            Tried::of(explained(&config, value, &self.sender), entries)
        });
        Ok(tried.collect())
    }

    /// Whether a text would be taken as a whole. By another acceptance: what is tried is to count in the history once.
    fn check(&self, text: &[u8], content: Content) -> Result<(), Box<Problem>> {
        let acceptance = Acceptance::new(self.config.clone(), Transport::Loopback, Arc::clone(&self.clock), [0; 32]);
        let mut entries = Vec::new();
        acceptance.take(text, content, &self.sender, &mut entries).map_err(|refusal| Box::new(refusal.told().0))
    }
}

impl Tried {
    fn of(mappings: Vec<(String, Option<String>)>, entries: Vec<Entry>) -> Self {
        Self { mappings, items: entries.into_iter().map(|entry| (entry.topic, entry.item)).collect() }
    }
}

fn explained(config: &ActiveConfig, value: Value<'_>, sender: &Sender) -> Vec<(String, Option<String>)> {
    let explained = config.mappings.explain(value, sender.origin());
    explained.into_iter().map(|(name, misfit)| (name.to_owned(), misfit.map(|misfit| misfit.to_string()))).collect()
}

#[cfg(test)]
mod tests;
