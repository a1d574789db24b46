//! A configuration document: read from a file or from a server, and what is wrong with it, told with its place.

use crate::cli::{
    admin::Admin,
    failure::Failure,
    http::with_query,
    terminal::{self, Paint, Stream, counted, harmless},
    versions::Listed,
};
use aups_core::Problem;
use aups_nos::ConfigError;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// A document, and how it is called.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) text: String,
}

impl Document {
    /// Reads a file; `-` is standard input.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let (name, text) = if file == Path::new("-") {
            let mut text = String::new();
            ("standard input".to_owned(), io::stdin().lock().read_to_string(&mut text).map(|_| text))
        } else {
            (file.display().to_string(), fs::read_to_string(file))
        };
        let text = text.map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
        Ok(Self { name, text })
    }

    /// Of a server: the version in force unless another is named.
    pub(super) async fn of_server(version: Option<u64>, admin: &Admin) -> Result<String, Failure> {
        let version = version.map(|number| number.to_string());
        let query: Vec<_> = version.iter().map(|number| ("version", number.as_str())).collect();
        admin.get_text(&with_query("/v1/config", &query)).await
    }

    /// The same with all of its members, as the server would keep it; changes nothing.
    pub(super) async fn in_full(&self, admin: &Admin) -> Result<String, Failure> {
        let answer = admin.send_document(Method::POST, "/v1/config/check", self.text.clone(), None).await?;
        answer.map_err(|problem| self.refused(&problem))
    }

    /// Replaces the document in force; gives the new version.
    pub(super) async fn set(&self, comment: &str, if_version: Option<u64>, admin: &Admin) -> Result<Answer, Failure> {
        let path = with_query("/v1/config", &[("comment", comment)]);
        match admin.send_document(Method::PUT, &path, self.text.clone(), if_version).await? {
            Ok(answer) => serde_json::from_str(&answer)
                .map(|InForce { version }| Answer::InForce(version))
                .map_err(|error| Failure::failed(format!("the server answered something else than expected: {error}"))),
            Err(problem) => Ok(Answer::Refused(problem)),
        }
    }

    /// Tells what a server found wrong.
    pub(super) fn refused(&self, problem: &Problem) -> Failure {
        let told = problem.further.get("errors").map(Vec::<Told>::deserialize);
        match told {
            Some(Ok(told)) => {
                let error = |Told { pointer, message }| ConfigError { pointer, message };
                self.tell(&told.into_iter().map(error).collect::<Vec<_>>())
            }
            _ => Failure::answered(problem),
        }
    }

    /// Tells what is wrong, each with its place.
    pub(super) fn tell(&self, errors: &[ConfigError]) -> Failure {
        let paint = Paint::of(Stream::Stderr);
        for ConfigError { pointer, message } in errors {
            let place = if pointer.is_empty() { "the document" } else { pointer };
            terminal::note(&format!("{}: {}: {}", self.name, paint.cyan(&harmless(place)), harmless(message)));
        }
        Failure::input_refused(format!("{}; nothing was changed", counted(errors.len(), "fault", "faults")))
    }
}

/// What came of a change.
#[derive(Debug)]
pub(super) enum Answer {
    InForce(u64),
    Refused(Problem),
}

/// What the server answers when a version is in force.
#[derive(Debug, Deserialize)]
pub(super) struct InForce {
    version: u64,
}

impl InForce {
    pub(super) fn print(&self) -> Result<(), Failure> {
        print_version(self.version)
    }
}

pub(super) fn print_version(version: u64) -> Result<(), Failure> {
    terminal::line(&format!("version {version}"))
}

/// An error as the server tells it.
#[derive(Deserialize)]
struct Told {
    pointer: String,
    message: String,
}

/// The number of the version in force.
pub(super) async fn active_version(admin: &Admin) -> Result<u64, Failure> {
    let listed: Vec<Listed> = admin.list("/v1/config/versions").await?;
    // Version 0 is never listed.
    Ok(listed.into_iter().find(|listed| listed.active).map_or(0, |listed| listed.version))
}

/// JSON on many lines, for people and for comparing.
pub(super) fn pretty(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => format!("{value:#}\n"),
        Err(_) => text.to_owned(),
    }
}
