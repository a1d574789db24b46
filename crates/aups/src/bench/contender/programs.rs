//! The programs that contenders are, and what to do where one is missing.

use super::Kind;
use crate::cli::failure::Failure;
use anyhow::Context as _;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where the contenders' programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    harness: Option<PathBuf>,
    peers: Option<PathBuf>,
}

impl Programs {
    /// Looks for them: the bench harness where it is said to be, or else beside this program; the paper's stack in the folder that is named, or
    /// else in `bench/peers`.
    pub(crate) fn look(harness: Option<PathBuf>, peers: Option<PathBuf>) -> Result<Self, Failure> {
        let beside = env::current_exe().context("this program's own file")?.with_file_name("aups-bench");
        let peers = peers.unwrap_or_else(|| "bench/peers".into());
        Ok(Self {
            harness: Some(harness.unwrap_or(beside)).filter(|file| file.is_file()),
            peers: Some(peers)
                .filter(|folder| folder.join("node_modules").is_dir() && is_on_path("node") && is_on_path("mosquitto")),
        })
    }

    /// Why a contender cannot run, and what to do; `None` if it can.
    pub(crate) fn missing(&self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Without | Kind::Bare if self.harness.is_none() => Some(HARNESS_MISSING),
            Kind::PaperStack if self.peers.is_none() => Some(PEERS_MISSING),
            _ => None,
        }
    }

    pub(super) fn harness(&self) -> Result<&Path, Failure> {
        self.harness.as_deref().ok_or_else(|| Failure::failed(HARNESS_MISSING))
    }

    pub(super) fn peers(&self) -> Result<&Path, Failure> {
        self.peers.as_deref().ok_or_else(|| Failure::failed(PEERS_MISSING))
    }
}

const HARNESS_MISSING: &str = "the bench harness `aups-bench` is not beside this program: build both with \
     `cargo build --profile dist -p aups -p aups-bench`, or name it with --harness";
const PEERS_MISSING: &str = "the paper's stack needs node, mosquitto, and a folder with paper-stack.js in which \
     `npm install` has run (--peers, bench/peers)";

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
