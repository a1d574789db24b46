//! The view: a table that is redrawn in place where somebody looks, plain lines elsewhere.

use super::{
    board::{Board, Count, Row, sum},
    station::{Part, READERS},
};
use crate::cli::{
    failure::Failure,
    terminal::{self, Paint, Stream, table},
};
use aups_core::Score;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;
use tokio::time::Instant;

/// How often a plain line is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

const HEAD: &str = "\
One year of the weather station Greensboro, hour by hour. Six sensors send their
readings over HTTP to a private AUPS, which seals and publishes them over MQTT.
Four readers subscribe to greensboro/#; the policies decide what they can open:";
const LEGEND: &str = "✓ opened   ✗ denied: the sealed message came, its key was not given";

/// Where the view is drawn.
pub(super) struct Screen {
    drawn: Drawn,
    paint: Paint,
}

enum Drawn {
    /// One bar for each line, redrawn in place.
    InPlace { bars: MultiProgress, lines: Vec<ProgressBar> },
    /// Lines that follow each other.
    Plain { last: Instant },
}

impl Screen {
    /// Says what is going to be seen.
    pub(super) fn open() -> Result<Self, Failure> {
        terminal::line(HEAD)?;
        for Part { name, may, .. } in READERS {
            terminal::line(&format!("  {name:<9} {may}"))?;
        }
        let drawn = if Stream::Stdout.is_terminal() {
            Drawn::InPlace { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()), lines: Vec::new() }
        } else {
            Drawn::Plain { last: Instant::now() }
        };
        Ok(Self { drawn, paint: Paint::of(Stream::Stdout) })
    }

    /// Draws what the board says now.
    pub(super) fn draw(&mut self, board: &Board) -> Result<(), Failure> {
        match &mut self.drawn {
            Drawn::InPlace { bars, lines } => {
                let view = format!("\n{}\n\n{}", view(board, self.paint), sent(board));
                for (place, text) in view.lines().enumerate() {
                    if lines.len() == place {
                        let style =
                            ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
                        lines.push(bars.add(ProgressBar::new_spinner().with_style(style)));
                    }
                    if let Some(line) = lines.get(place) {
                        line.set_message(text.to_owned());
                    }
                }
                Ok(())
            }
            Drawn::Plain { last } if last.elapsed() >= PLAIN_EVERY => {
                *last = Instant::now();
                terminal::line(&format!("{}; opened: {}", sent(board), opened(board)))
            }
            Drawn::Plain { .. } => Ok(()),
        }
    }

    /// Leaves the last view behind.
    pub(super) fn finish(self, board: &Board) -> Result<(), Failure> {
        if let Drawn::InPlace { bars, .. } = self.drawn {
            bars.clear()?;
        }
        terminal::line(&format!("\n{}\n", view(board, self.paint)))
    }
}

/// The table and what to look at in it.
fn view(board: &Board, paint: Paint) -> String {
    let rows = board.rows();
    let headings = [&["TOPIC", "NEWEST", "ACCURACY"], board.readers()].concat();
    let cells: Vec<_> = rows.iter().map(|(topic, row)| cells(topic, row)).collect();
    let table = table(&headings, &cells);
    let mut lines: Vec<_> = table.lines().map(str::to_owned).collect();
    if let Some(heading) = lines.first_mut() {
        *heading = paint.bold(heading);
    }
    lines.push(paint.faint(LEGEND));
    lines.extend(doubtful(rows.iter().filter_map(|(_, row)| {
        let (least, greatest) = row.accuracy?;
        Some((least, greatest, &*row.doubtful))
    })));
    lines.join("\n").replace('✓', &paint.green("✓")).replace('✗', &paint.red("✗"))
}

fn cells(topic: &str, row: &Row) -> Vec<String> {
    let accuracy = row.accuracy.map_or_else(String::new, |(least, greatest)| {
        if least == greatest { least.to_string() } else { format!("{least}-{greatest}") }
    });
    let topic = topic.strip_prefix("greensboro/").unwrap_or(topic).to_owned();
    [topic, row.newest.clone(), accuracy].into_iter().chain(row.counts.iter().map(count)).collect()
}

fn count(count: &Count) -> String {
    match *count {
        Count { opened, denied: 0 } => format!("✓ {opened}"),
        Count { opened: 0, denied } => format!("✗ {denied}"),
        Count { opened, denied } => format!("✓ {opened} ✗ {denied}"),
    }
}

/// The least accurate readings, of topics whose readings differ: least and greatest accuracy, and the reading in words.
fn doubtful<'a>(topics: impl Iterator<Item = (Score, Score, &'a str)>) -> Option<String> {
    let mut topics: Vec<_> = topics.filter(|(least, greatest, _)| least < greatest).collect();
    topics.sort_unstable();
    let told: Vec<_> = topics.iter().map(|(least, _, reading)| format!("{reading} scores {least}")).collect();
    (!told.is_empty()).then(|| format!("least accurate: {}", told.join(", ")))
}

fn sent(board: &Board) -> String {
    let (sent, all) = board.progress();
    format!("{sent} of {all} readings sent")
}

fn opened(board: &Board) -> String {
    let rows = board.rows();
    let told = |(name, place)| format!("{name} {}", sum(rows.iter().map(|(_, row)| row), place).opened);
    board.readers().iter().zip(0..).map(told).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
