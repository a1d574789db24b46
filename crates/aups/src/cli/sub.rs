//! `aups sub`: read what one may read.

mod shown;

use super::{
    failure::Failure,
    stop::Stop,
    terminal::{Paint, Stream},
};
use aups_client::{
    Event, FilterRefused, Identity, KeysOver, Minimum, Reader, ReaderOptions, SubscribeError, may_subscribe,
};
use aups_core::Filter;
use clap::Args;
use shown::Shown;
use std::{num::NonZeroU64, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Read what one may read
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Read what one may read: subscribe, ask for keys, open, print.\n\nThe broker takes a filter if policies let \
this reader read something of all that it covers; the keys decide each message. What is denied, stale, a duplicate or \
missing is told on standard error.\n\nExit code 3: the broker refuses the filter, or --timeout passed with nothing opened and \
something denied. Exit code 1: --timeout passed before --count was reached."
)]
pub(crate) struct Sub {
    /// The identity file that `aups enrol` wrote
    #[arg(long = "as", value_name = "FILE")]
    identity: PathBuf,
    /// What to subscribe: topic filters, as in data/sensor1/temperature, data/+/temperature, data/#
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<Filter>,
    /// One JSON object a line: {"topic","item","status"}
    #[arg(long)]
    json: bool,
    /// Stop after so many items
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Only items whose score reaches a minimum, as in quality.accuracy=0.8 (repeatable)
    #[arg(long, value_name = "SCORE=MIN")]
    min: Vec<Minimum>,
    /// How to ask for keys: over http, over mqtt alone, or either: http, and mqtt while the server is out of reach
    #[arg(long, value_name = "WAY", default_value = "either")]
    keys: KeysOver,
    /// Remember in this file what came, so that nothing comes twice over a restart; the broker keeps what comes meanwhile for an
    /// hour
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  aups sub --as alice.json 'data/#'
  aups sub --as alice.json 'data/+/temperature' --min quality.accuracy=0.8
  aups sub --as alice.json 'data/#' --keys mqtt
  aups sub --as alice.json 'data/#' --json --state alice.state >> items.jsonl
  aups sub --as alice.json 'data/#' --json --count 10 --timeout 60 | jq .item";

/// What has come so far.
#[derive(Debug, Default)]
struct Tally {
    opened: u64,
    denied: u64,
}

impl Sub {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut stop = Stop::listen()?;
        let mut tally = Tally::default();
        tokio::select! {
            done = self.read(&mut tally) => done,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.after_timeout(&tally),
            () = stop.asked() => Ok(()),
        }
    }

    /// Reads until as many items have come as were asked for.
    async fn read(&self, tally: &mut Tally) -> Result<(), Failure> {
        let identity = Identity::load(&self.identity)?;
        let sub = identity.sub().clone();
        let mut reader = Reader::connect(identity, self.options()).await?;
        let mut shown = Shown::new(self.json, Paint::of(Stream::Stdout), Paint::of(Stream::Stderr));
        match reader.subscribe(&self.filters.iter().map(Filter::as_str).collect::<Vec<_>>()).await {
            Ok(()) => {}
            Err(SubscribeError::Refused(refused)) => {
                let help =
                    format!("ask the administrator for a policy that lets {sub} `receive` what is published there");
                return Err(self.refused(&refused).await.help(help));
            }
            Err(error) => return Err(error.into()),
        }
        shown.subscribed(&self.filters);
        while let Some(event) = reader.next().await {
            match &event {
                Event::Item { .. } => tally.opened += 1,
                Event::Denied { .. } => tally.denied += 1,
                Event::Unsubscribed(refused) => {
                    let failure = self.refused(std::slice::from_ref(refused)).await;
                    return Err(failure.help("its rights have changed: ask the administrator"));
                }
                Event::Ended(error) => return Err(Failure::denied(error.to_string())),
                _ => {}
            }
            shown.event(&event)?;
            if self.count.is_some_and(|count| tally.opened >= count.get()) {
                reader.close().await;
                return Ok(());
            }
        }
        Err(Failure::failed("the reader ended"))
    }

    fn options(&self) -> ReaderOptions {
        ReaderOptions {
            min: self.min.clone(),
            keys_over: self.keys,
            state: self.state.clone(),
            ..ReaderOptions::default()
        }
    }

    /// The broker says no more than that it refuses; the server knows why.
    async fn refused(&self, refused: &[FilterRefused]) -> Failure {
        let mut told = Vec::new();
        for refused in refused {
            told.push(match self.reason(&refused.filter).await {
                Some(reason) => format!("the broker refuses `{}`: {reason}", refused.filter),
                None => refused.to_string(),
            });
        }
        Failure::denied(told.join("\n"))
    }

    /// What the server has against a filter, if it has something and says so.
    async fn reason(&self, filter: &Filter) -> Option<String> {
        let identity = Identity::load(&self.identity).ok()?;
        let answer = may_subscribe(&identity, filter).await.ok()?;
        (!answer.accepted).then_some(answer.reason)
    }

    fn after_timeout(&self, tally: &Tally) -> Result<(), Failure> {
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        match (tally, self.count) {
            (Tally { opened: 0, denied: 1.. }, _) => Err(Failure::denied(format!(
                "denied: {} messages came in {seconds} s under {}, and the key of none of them was given to this reader",
                tally.denied,
                list(&self.filters)
            ))
            .help("ask the administrator for a policy that lets this reader `receive` these items (aups policy show)")),
            (Tally { opened, .. }, Some(count)) => {
                Err(Failure::failed(format!("{opened} of {count} items came in {seconds} s under {}", list(&self.filters))))
            }
            _ => Ok(()),
        }
    }
}

fn list(filters: &[Filter]) -> String {
    filters.iter().map(|filter| format!("`{filter}`")).collect::<Vec<_>>().join(", ")
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "use a number of seconds above 0".to_owned())
}

/// Longest wait that can be asked for: a year.
const LONGEST: Duration = Duration::from_hours(24 * 365);

#[cfg(test)]
mod tests;
