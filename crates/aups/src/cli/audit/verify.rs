//! `aups audit verify`: whether a trail is what was written.

use super::source::{Source, SourceArgs};
use crate::{
    cli::{
        admin::ServerArgs,
        failure::Failure,
        terminal::{self, counted},
    },
    server::audit::{
        Filter, files,
        verify::{Place, Trusted, Verdict, Verifier, folder},
    },
};
use aups_envelope::{Checkpoint, VerifyingKey};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Check that no line was changed, removed, added or moved
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Check that no line of the audit trail was changed, removed, added or moved: each has the hash of the one \
before, and the realm signs checkpoints. What is wrong is named, with file and line; then the exit code is 1.\n\nWhoever can \
write the files and cuts off the end leaves a shorter trail that is whole: only a checkpoint that you keep elsewhere shows \
it (aups audit checkpoint). Lines after the newest checkpoint are not signed yet."
)]
pub(super) struct Verify {
    #[command(flatten)]
    source: SourceArgs,
    /// The realm's key, from an identity file (realmKey)
    #[arg(long, value_name = "KEY")]
    realm_key: Option<VerifyingKey>,
    /// A checkpoint that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups audit verify --checkpoint elsewhere/checkpoint.jws
  aups audit verify --files aups-data/audit \\
      --realm-key \"$(jq -r .realmKey alice.json)\"";

impl Verify {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let kept = self.checkpoint.as_deref().map(|path| read_checkpoint(path, self.realm_key.as_ref())).transpose()?;
        let trusted = Trusted { realm_key: self.realm_key, checkpoint: kept };
        let verdict = match self.source.open(server)? {
            Source::Files(dir) => verify_files(&dir, trusted)?,
            from_server @ Source::Server(_) => verify_lines(&from_server, trusted).await?,
        };
        tell(&verdict, self.json)
    }
}

fn read_checkpoint(path: &Path, realm_key: Option<&VerifyingKey>) -> Result<Checkpoint, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read the checkpoint {}: {error}", path.display())))?;
    Checkpoint::verify(text.trim(), realm_key).map_err(|error| {
        Failure::input_refused(format!("{} is no checkpoint of this realm: {error}", path.display()))
            .help("keep what `aups audit checkpoint` prints")
    })
}

fn verify_files(dir: &Path, trusted: Trusted) -> Result<Verdict, Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot read the trail in {}: {error}", dir.display()))
            .help("name the folder that holds 000000000001.jsonl with --files")
    };
    let sizes =
        files::files(dir).map_err(failed)?.into_iter().map(|(_, path)| fs::metadata(path).map(|file| file.len()));
    let bytes = sizes.sum::<Result<u64, _>>().map_err(failed)?;
    let bar = bar(bytes, "{bar:30} {percent:>3} %  {decimal_bytes_per_sec}  {eta} left");
    let verdict = folder(dir, trusted, |read| bar.inc(read)).map_err(failed);
    bar.finish_and_clear();
    verdict
}

async fn verify_lines(source: &Source, trusted: Trusted) -> Result<Verdict, Failure> {
    let mut verifier = Verifier::new(trusted);
    let filter = Filter::default();
    let newest = source.page(&filter, Some(0)).await?.newest;
    let bar = bar(newest, "{bar:30} {percent:>3} %  {eta} left");
    let mut next = 1;
    source
        .each(&filter, |line| {
            // Lines come in the order of the files: a number is that of its place.
            verifier.line(Place { file: None, line: next }, line.get().as_bytes(), None);
            next += 1;
            bar.inc(1);
            Ok(!verifier.gave_up())
        })
        .await?;
    bar.finish_and_clear();
    Ok(verifier.finish())
}

/// How far we are; nothing where nobody looks (indicatif sees to that).
fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn tell(verdict: &Verdict, json: bool) -> Result<(), Failure> {
    if json {
        terminal::line(&serde_json::json!(verdict).to_string())?;
    } else {
        for fault in &verdict.faults {
            terminal::line(&terminal::harmless(&fault.to_string()))?;
        }
        if verdict.ok {
            terminal::line(&in_words(verdict))?;
        }
    }
    match verdict.realm_key {
        Some(key) if !verdict.key_known => terminal::note(&format!(
            "signed under the realm key {key}, which the trail itself names: compare it with `realmKey` of an identity \
             file, or give it with --realm-key"
        )),
        _ => {}
    }
    match verdict.faults.len() {
        0 => Ok(()),
        faults => Err(Failure::failed(format!("the audit trail is not whole: {}", counted(faults, "fault", "faults")))
            .help("keep the files as evidence; docs/operating.md says what each fault means")),
    }
}

fn in_words(verdict: &Verdict) -> String {
    let Verdict { first, last, checkpoints, signed_through, .. } = verdict;
    let at = verdict.signed_at.map(|at| at.to_string()).unwrap_or_default();
    let checkpoints = counted(usize::try_from(*checkpoints).unwrap_or(usize::MAX), "checkpoint", "checkpoints");
    // The checkpoint itself is a line more.
    let newer = match last.saturating_sub(signed_through + 1) {
        0 => "nothing is newer".to_owned(),
        newer => format!("{newer} newer, not signed yet"),
    };
    format!("ok: lines {first} to {last} hold; {checkpoints}, the newest of {at} over line {signed_through}, {newer}")
}
