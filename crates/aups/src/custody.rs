//! Where the key-encryption key and passphrases come from: files, the environment, the terminal.

use crate::settings::{KekHolder, ServerSettings};
use anyhow::{Context as _, bail};
use aups_envelope::{SecretBytes, passphrase::PassphraseCost};
use aups_ktm::custody::{Environment, KekFile, KekProvider, Passphrase};
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Holds the key-encryption key where `--kek env` says so.
const KEK_VARIABLE: &str = "AUPS_KEK";
/// Holds the passphrase where `--kek passphrase` says so and no file does.
const PASSPHRASE_VARIABLE: &str = "AUPS_KEK_PASSPHRASE";

/// Longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 1_024;

/// The keyring of a data directory.
pub(crate) fn keyring_file(data_dir: &Path) -> PathBuf {
    data_dir.join("keyring")
}

/// What holds the key-encryption key of a data directory, as the settings say.
pub(crate) fn provider(settings: &ServerSettings) -> anyhow::Result<Box<dyn KekProvider>> {
    let data_dir = &settings.data_dir;
    Ok(match settings.kek {
        KekHolder::File => Box::new(KekFile(data_dir.join("kek"))),
        KekHolder::Env => {
            let Some(value) = from_environment(KEK_VARIABLE) else {
                bail!("{KEK_VARIABLE} is not set: put base64url of 32 random bytes there, or choose another --kek")
            };
            Box::new(Environment::new(&value)?)
        }
        KekHolder::Passphrase => {
            let source = PassphraseSource {
                file: settings.kek_passphrase_file.as_deref(),
                flag: "--kek-passphrase-file",
                variable: PASSPHRASE_VARIABLE,
                prompt: "Passphrase of the key-encryption key",
            };
            // Whoever makes a keyring with a slip of the finger never opens it again.
            let passphrase = source.read(!keyring_file(data_dir).exists())?;
            Box::new(Passphrase::new(passphrase, PassphraseCost::default())?)
        }
    })
}

/// Asks the system not to write this process's memory into core files, nor to let others of the same user read it or the
/// environment that it started with. After the passphrase: a descriptor can be opened by name no longer.
pub(crate) fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "others of the same user can read this process's memory");
    }
}

/// Where a passphrase may come from: a file if one is named, else a variable if it is set, else the terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassphraseSource<'a> {
    pub(crate) file: Option<&'a Path>,
    /// What names the file on the command line.
    pub(crate) flag: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) prompt: &'static str,
}

impl PassphraseSource<'_> {
    /// Reads it; from a terminal twice if it is `new`.
    pub(crate) fn read(self, new: bool) -> anyhow::Result<SecretBytes> {
        if let Some(file) = self.file {
            return from_file(file);
        }
        if let Some(value) = from_environment(self.variable) {
            return Ok(value);
        }
        if !io::stdin().is_terminal() {
            bail!("no passphrase: name a file with {}, or set {}, or run this on a terminal", self.flag, self.variable);
        }
        let ask = |prompt: String| {
            let typed = rpassword::prompt_password(prompt).context("cannot read the passphrase from the terminal")?;
            anyhow::Ok(SecretBytes::from_vec(typed.into_bytes()))
        };
        let passphrase = ask(format!("{}: ", self.prompt))?;
        if new && ask("The same again: ".to_owned())?.expose() != passphrase.expose() {
            bail!("the two passphrases are not the same; nothing was done");
        }
        Ok(passphrase)
    }
}

/// The first line of a file that nobody else reads, or of a descriptor such as `/dev/fd/3`.
fn from_file(path: &Path) -> anyhow::Result<SecretBytes> {
    let unreadable = || format!("cannot read the passphrase from {}", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let metadata = file.metadata().with_context(unreadable)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others: run `chmod 0400 {}`", path.display(), path.display());
    }
    // Of its full size from the start: a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(PASSPHRASE_BYTES_MAX + 1).unwrap_or_default());
    let read = file.take(PASSPHRASE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let mut passphrase = SecretBytes::from_vec(bytes);
    read.with_context(unreadable)?;
    if passphrase.expose().len() as u64 > PASSPHRASE_BYTES_MAX {
        bail!("{} holds more than {PASSPHRASE_BYTES_MAX} bytes: a passphrase is one line", path.display());
    }
    passphrase.keep_first_line();
    Ok(passphrase)
}

/// Not empty. It cannot be taken out of the environment again: see `docs/operating.md`.
fn from_environment(variable: &str) -> Option<SecretBytes> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = SecretBytes::from_vec(std::env::var_os(variable)?.into_vec());
    (!value.expose().is_empty()).then_some(value)
}

#[cfg(test)]
mod tests;
