//! `aups send`: be a source.

use super::{
    admin::ServerArgs,
    failure::Failure,
    terminal::{self, counted},
};
use crate::source::{Obstacle, Pace, Proof, Rate, Source, Untaken};
use aups_core::limits::LINE_BYTES_MAX;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;

/// Most lines in one request.
const BATCH_LINES_MAX: usize = 500;
/// Lines read ahead of what is sent.
const LINES_AHEAD_MAX: usize = 2 * BATCH_LINES_MAX;

/// Send readings: JSON lines in
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Send readings: be a source. Each line of the input is one JSON value, as `POST /data` takes it; lines \
that are empty are skipped. Waits when the server is busy, stops at the first line that it refuses and says which.\n\n\
A source that registered with an EncryptionScheme seals what it sends. Each run begins a session above those before, which is kept beside the \
file, in FILE.session; so run one at a time.\n\nWithout --rate, lines go as fast as the server takes them, several in one request where they are at hand."
)]
pub(crate) struct Send {
    /// The registered source to be: a file with the answer of `POST /registration`
    #[arg(long, value_name = "FILE", required_unless_present = "anonymous", conflicts_with = "anonymous")]
    node: Option<PathBuf>,
    /// Be an unregistered source
    #[arg(long)]
    anonymous: bool,
    /// Readings per second, or max
    #[arg(long, value_name = "R", default_value = "max")]
    rate: Rate,
    /// Where the lines are; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  curl http://127.0.0.1:8080/registration -o sensor1.json \\
    --json '{\"NodeId\":\"sensor1\",\"NodeType\":\"sensor\",
    \"CommunicationMode\":\"discrete\"}'
  echo '{\"name\":\"temperature\",\"value\":21.4,\"unit\":\"Cel\"}' |
    aups send --node sensor1.json
  aups send --node sensor1.json --rate 20 readings.ndjson
  aups send --anonymous readings.ndjson

  # One that seals: with an EncryptionScheme in its registration
  curl http://127.0.0.1:8080/registration -o sensor2.json \\
    --json '{\"NodeId\":\"sensor2\",\"NodeType\":\"sensor\",
    \"CommunicationMode\":\"discrete\",\"EncryptionScheme\":\"aes-128-gcm\"}'
  aups send --node sensor2.json readings.ndjson";

/// A line of the input and its number, from 1.
struct Line {
    number: usize,
    text: String,
}

impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl Send {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let (trust, server) = (server.trust()?, server.server.clone());
        let source = match &self.node {
            Some(file) => Source::proving(server, Proof::read(file)?, &trust)?,
            None => Source::new(server, None, &trust)?,
        };
        let (input, bytes) = open(&self.file)?;
        let (queue, lines) = mpsc::channel(LINES_AHEAD_MAX);
        let name = self.file.display().to_string();
        // Reading may block, standard input for ever: the runtime does not wait for this task at the end.
        tokio::task::spawn_blocking(move || read_lines(input, &name, &queue));
        let progress = progress(bytes);
        let (sent, stopped) = send_all(&source, lines, Pace::new(self.rate), &progress).await;
        progress.finish_and_clear();
        terminal::line(&format!("sent {}", counted(sent, "reading", "readings")))?;
        stopped
    }
}

/// Sends what comes until it ends or one line is refused: how many were taken, and why no more.
async fn send_all(
    source: &Source,
    mut lines: mpsc::Receiver<Result<Line, Failure>>,
    mut pace: Pace,
    progress: &ProgressBar,
) -> (usize, Result<(), Failure>) {
    let mut sent = 0;
    loop {
        let mut batch = Vec::new();
        let due = pace.due(BATCH_LINES_MAX).await;
        // What follows the lines that are at hand is waited for only when there are none: a slow input is sent as it comes.
        let stopped = gather(&mut lines, due, &mut batch).await;
        pace.went(batch.len());
        if !batch.is_empty() {
            match source.send(&batch).await {
                Ok(taken) => sent += taken,
                Err(Untaken { taken, why }) => return (sent + taken, Err(refused(why, &batch))),
            }
            progress.inc(batch.iter().map(|line| line.text.len() as u64 + 1).sum());
            progress.set_message(format!("{sent} readings"));
        }
        match stopped {
            Gathered::More => {}
            Gathered::End => return (sent, Ok(())),
            Gathered::Broken(failure) => return (sent, Err(failure)),
        }
    }
}

fn refused(why: Obstacle, batch: &[Line]) -> Failure {
    match why {
        Obstacle::All(failure) => failure,
        Obstacle::Line { index, problem } => {
            let line = batch.get(index).map_or_else(String::new, |line| format!("line {}", line.number));
            let column = problem.column.map_or_else(String::new, |column| format!(", column {column}"));
            Failure::input_refused(format!("{line}{column}: {}", problem.detail))
                .help("the lines before it were taken; mend it and send from there")
        }
    }
}

/// What comes after a batch.
enum Gathered {
    More,
    End,
    Broken(Failure),
}

async fn gather(lines: &mut mpsc::Receiver<Result<Line, Failure>>, most: usize, batch: &mut Vec<Line>) -> Gathered {
    let mut next = lines.recv().await;
    loop {
        match next {
            None => return Gathered::End,
            Some(Err(failure)) => return Gathered::Broken(failure),
            Some(Ok(line)) => batch.push(line),
        }
        if batch.len() >= most {
            return Gathered::More;
        }
        next = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(mpsc::error::TryRecvError::Empty) => return Gathered::More,
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        };
    }
}

/// The input, and its size where it is known.
fn open(file: &Path) -> Result<(Box<dyn BufRead + std::marker::Send>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let opened = File::open(file).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, opened) =
        opened.map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
    Ok((Box::new(BufReader::new(opened)), metadata.is_file().then_some(metadata.len())))
}

/// Reads lines of bounded length until the input ends, a line is none, or nobody wants them.
fn read_lines(mut input: impl BufRead, name: &str, queue: &mpsc::Sender<Result<Line, Failure>>) {
    for number in 1.. {
        let line = match read_line(&mut input) {
            Ok(None) => return,
            Ok(Some(text)) if text.trim().is_empty() => continue,
            Ok(Some(text)) => Ok(Line { number, text }),
            Err(error) => Err(Failure::input_refused(format!("{name}, line {number}: {error}"))),
        };
        let broken = line.is_err();
        if queue.blocking_send(line).is_err() || broken {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    // One byte more than a line with its end may have, so that a longer one shows.
    let most = LINE_BYTES_MAX as u64 + 2;
    if input.take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.len() > LINE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {LINE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("not UTF-8"))
}

/// How far we are: a bar where the size is known; nothing where nobody looks (indicatif sees to that).
fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {percent:>3} %  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests;
