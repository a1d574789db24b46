//! `aups backup` and `aups restore`: everything in the store, with the keys to it, in one sealed file.

use super::{
    admin::ServerArgs,
    failure::Failure,
    http::unanswered,
    terminal::{self, counted},
};
use crate::{
    custody::{self, PassphraseSource},
    settings::{KekHolder, ServerSettings},
};
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::Clock as _;
use aups_envelope::SecretBytes;
use aups_ktm::backup::{BackupError, Restore as Restoring, Restored};
use aups_store::Embedded;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// How the passphrase of a backup is given.
#[derive(Debug, Args)]
struct PassphraseArgs {
    /// A file with the backup's passphrase; else AUPS_BACKUP_PASSPHRASE, or the terminal
    #[arg(long, env = "AUPS_BACKUP_PASSPHRASE_FILE", hide_env = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    fn read(&self, new: bool) -> anyhow::Result<SecretBytes> {
        let source = PassphraseSource {
            file: self.passphrase_file.as_deref(),
            flag: "--passphrase-file",
            variable: "AUPS_BACKUP_PASSPHRASE",
            prompt: "Passphrase of the backup",
        };
        source.read(new)
    }
}

/// Save the realm in one sealed file, while it runs
#[derive(Debug, Args)]
#[command(after_help = BACKUP_EXAMPLES)]
#[command(
    long_about = "Save everything in the server's store as of one moment, with the keys that unwrap it, in one file sealed \
under a passphrase: registrations, policies, scopes, roots, the realm's key. Not in it: the audit trail, data that is not \
published yet, what the broker retains.\n\nWhoever has the file and the passphrase can open what was sealed and sign as \
the realm. Keep it no longer than you would keep the keys."
)]
pub(crate) struct Backup {
    /// The file to make; one that is there is not replaced
    #[arg(value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  aups backup realm.aups-backup              asks for a passphrase
  aups backup realm.aups-backup --passphrase-file backup.passphrase";

impl Backup {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        let passphrase = self.passphrase.read(true)?;
        let mut file = self.make()?;
        match self.fill(&mut file, server, admin.download("/v1/backup", passphrase).await?).await {
            Ok(bytes) => terminal::line(&format!("saved {bytes} bytes in {}", self.out.display())),
            Err(failure) => {
                // Half a backup is none.
                drop(fs::remove_file(&self.out));
                Err(failure)
            }
        }
    }

    fn make(&self) -> anyhow::Result<File> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.out);
        made.with_context(|| format!("cannot make {}", self.out.display()))
    }

    async fn fill(&self, file: &mut File, server: &ServerArgs, answer: reqwest::Response) -> Result<u64, Failure> {
        let (mut answer, mut bytes) = (answer, 0);
        let progress = ProgressBar::new_spinner().with_message("saving");
        let written = || format!("cannot write {}", self.out.display());
        while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&server.server, &error))? {
            file.write_all(&chunk).with_context(written)?;
            bytes += chunk.len() as u64;
            progress.set_position(bytes);
        }
        file.sync_all().with_context(written)?;
        progress.finish_and_clear();
        Ok(bytes)
    }
}

/// Make a data directory from a backup
#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
#[command(
    long_about = "Make a data directory from a backup: --data-dir, which must be empty or absent. Then start `aups up` \
there.\n\nReaders and sources go on with what they have; messages sealed before the backup open within history. Bumps and \
incarnations jump ahead by 256, so that no key is used twice the same. What was changed after the backup is lost: go through \
the readers, for who was removed since is there again. Do not start the lost realm's own directory any more."
)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// What will hold the key-encryption key: the file DIR/kek, AUPS_KEK, or a passphrase
    #[arg(long, hide_env = true, env = "AUPS_KEK_PROVIDER", value_enum, value_name = "HOLDER", default_value = "file")]
    kek: KekHolder,
    /// A file with that passphrase; else AUPS_KEK_PASSPHRASE, or the terminal
    #[arg(long, hide_env = true, env = "AUPS_KEK_PASSPHRASE_FILE", value_name = "FILE")]
    kek_passphrase_file: Option<PathBuf>,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  aups restore realm.aups-backup --data-dir /var/lib/aups
  aups restore realm.aups-backup --kek passphrase";

impl Restore {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let data_dir = server.data_dir.clone().unwrap_or_else(|| "./aups-data".into());
        check_empty(&data_dir)?;
        let aside = beside(&data_dir);
        let restored = self.fill_directory(&aside).await;
        // Into its place at once: a directory is restored or as it was.
        let placed = restored.and_then(|restored| {
            fs::rename(&aside, &data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
            Ok(restored)
        });
        if placed.is_err() {
            drop(fs::remove_dir_all(&aside));
        }
        let Restored { items, forgotten } = placed?;
        terminal::line(&format!("restored {} in {}", counted(items, "item", "items"), data_dir.display()))?;
        if forgotten > 0 {
            let scopes = counted(forgotten, "scope", "scopes");
            terminal::note(&format!("{scopes} begin anew: what was sealed under them opens no more"));
        }
        Ok(())
    }

    async fn fill_directory(&self, dir: &Path) -> Result<Restored, Failure> {
        let file = File::open(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let restoring = Restoring::begin(BufReader::new(file), &self.passphrase.read(false)?)
            .map_err(|error| self.refused(error))?;
        fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let settings = ServerSettings {
            data_dir: dir.to_owned(),
            kek: self.kek,
            kek_passphrase_file: self.kek_passphrase_file.clone(),
            ..ServerSettings::default()
        };
        let provider = custody::provider(&settings)?;
        let store = Embedded::open(dir.join("store")).await.context("cannot make the store")?;
        let progress = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} items") {
            progress.set_style(style);
        }
        let told = |done: usize, all: usize| {
            progress.set_length(all as u64);
            progress.set_position(done as u64);
        };
        let keyring = custody::keyring_file(dir);
        let restored = restoring.into_store(&store, &keyring, &*provider, SystemClock.now(), told).await;
        progress.finish_and_clear();
        restored.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: BackupError) -> Failure {
        let told = format!("{}: {error}", self.file.display());
        match error {
            BackupError::Passphrase => Failure::denied(told),
            BackupError::NotABackup | BackupError::Truncated | BackupError::Damaged => Failure::input_refused(told),
            error => Failure::from(anyhow::Error::from(error).context(self.file.display().to_string())),
        }
    }
}

/// Refuses a directory in which there is something.
fn check_empty(dir: &Path) -> Result<(), Failure> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let error = format!("{} is not empty; nothing was changed", dir.display());
        return Err(Failure::input_refused(error).help("name another directory with --data-dir, or move this one away"));
    }
    Ok(())
}

/// Where a directory is made before it gets its name.
fn beside(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    dir.with_file_name(format!(".{name}-restoring"))
}
