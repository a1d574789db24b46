//! `aups config edit`: the document in force in an editor, and what became of it in force.

use super::document::{Answer, Document, active_version, pretty, print_version};
use crate::cli::{
    admin::Admin,
    failure::Failure,
    terminal::{self, Stream},
};
use clap::Args;
use std::{ffi::OsString, fs, io, io::BufRead as _, path::Path, process::Command};

/// Where no editor is named: POSIX has it everywhere.
const EDITOR_DEFAULT: &str = "vi";

/// Edit the document in force with $VISUAL or $EDITOR
#[derive(Debug, Args)]
pub(super) struct Edit {
    /// Why: kept with the version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
}

impl Edit {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let version = active_version(admin).await?;
        let before = pretty(&Document::of_server(Some(version), admin).await?);
        let draft = tempfile::Builder::new().prefix("aups-config-").suffix(".json").tempfile();
        let draft = draft.map_err(|error| Failure::failed(format!("cannot make a temporary file: {error}")))?;
        fs::write(draft.path(), &before)?;
        loop {
            open(draft.path())?;
            let document = match Document::read(draft.path()) {
                Ok(document) => document,
                Err(failure) => return Err(kept(draft, failure)),
            };
            if document.text == before {
                terminal::note("nothing was changed");
                return Ok(());
            }
            match document.set(&self.comment, Some(version), admin).await {
                Err(failure) => return Err(kept(draft, failure)),
                Ok(Answer::InForce(version)) => return print_version(version),
                Ok(Answer::Refused(problem)) => {
                    let failure = document.refused(&problem);
                    if problem.status == 412 || !again(&failure)? {
                        return Err(kept(draft, failure));
                    }
                }
            }
        }
    }
}

/// Whether somebody is there who wants to try again.
fn again(failure: &Failure) -> Result<bool, Failure> {
    if !Stream::Stderr.is_terminal() {
        return Ok(false);
    }
    let _ = failure.tell();
    terminal::note("edit it again? [Y/n]");
    let mut answer = String::new();
    let bytes = io::stdin().lock().read_line(&mut answer)?;
    Ok(bytes > 0 && matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}

/// What was written is not thrown away.
fn kept(draft: tempfile::NamedTempFile, failure: Failure) -> Failure {
    match draft.keep() {
        Ok((_, path)) => failure.help(format!("what you wrote is kept in {}", path.display())),
        Err(_) => failure,
    }
}

/// Opens a file in the editor and waits. An editor may be given with arguments, as in `code --wait`.
fn open(file: &Path) -> Result<(), Failure> {
    let named =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var_os(name).filter(|text| !text.is_empty()));
    let mut command = named.unwrap_or_else(|| OsString::from(EDITOR_DEFAULT));
    command.push(" \"$1\"");
    let ended = Command::new("sh").arg("-c").arg(&command).arg("sh").arg(file).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::failed(format!("the editor ended with {status}; nothing was changed"))),
        Err(error) => {
            Err(Failure::failed(format!("cannot start the editor: {error}"))
                .help("name one in EDITOR, as in EDITOR=nano"))
        }
    }
}
