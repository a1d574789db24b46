//! `cargo xtask layers`: what a crate of ours may depend on, and what the pure ones must not even name.
//!
//! The rules on third-party crates (cryptography, licences, sources) are in `deny.toml`.

use crate::command::{self, cargo};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each of our crates may depend on among ours, in reading order. An edge that is missing here is a decision to
/// make, not a line to add: see ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    ("aups-core", &[]),
    ("aups-envelope", &["aups-core"]),
    ("aups-policy", &["aups-core", "aups-envelope"]),
    ("aups-store", &[]),
    ("aups-net", &[]),
    ("aups-ktm", &["aups-core", "aups-envelope", "aups-store", "aups-net"]),
    ("aups-nos", &["aups-core", "aups-envelope", "aups-policy", "aups-store", "aups-net", "aups-ktm"]),
    // Neither envelope nor ktm: the broker cannot decrypt.
    ("aups-broker", &["aups-core", "aups-net"]),
    ("aups-client", &["aups-core", "aups-envelope", "aups-net"]),
    (
        "aups",
        &[
            "aups-core",
            "aups-envelope",
            "aups-policy",
            "aups-store",
            "aups-net",
            "aups-ktm",
            "aups-nos",
            "aups-broker",
            "aups-client",
        ],
    ),
    // The chain without AUPS lives here: nothing that ships may depend on it, and it cannot seal.
    ("aups-bench", &["aups-core", "aups-net", "aups-nos", "aups-broker"]),
    // Runs each stage alone; nothing that ships may depend on it.
    (
        "aups-stages",
        &["aups-core", "aups-envelope", "aups-policy", "aups-store", "aups-ktm", "aups-nos", "aups-broker"],
    ),
    // Feeds what reads foreign bytes; nothing that ships may depend on it.
    ("aups-fuzz", &["aups-core", "aups-envelope", "aups-policy", "aups-store", "aups-ktm", "aups-nos"]),
    ("xtask", &[]),
];

/// What further crates of ours the tests of each may use.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[
    // Something to subscribe to.
    ("aups-client", &["aups-broker"]),
];

/// Crates without I/O, clock or threads: time and bytes are arguments.
const PURE: &[&str] = &["aups-core", "aups-envelope", "aups-policy"];

/// Crates that do I/O or bring a runtime; a pure crate reaches none of them through any chain of dependencies.
const RUNTIMES: &[&str] = &["tokio", "async-io", "smol", "mio", "socket2", "hyper", "reqwest", "fjall"];

/// Words of Rust that a pure crate's source does not contain outside comments and tests.
const IMPURE_WORDS: &[&str] = &[
    "tokio",
    "async",
    "await",
    "fs",
    "File",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant",
    "thread",
    "stdin",
    "stdout",
    "stderr",
    "println",
    "eprintln",
];

/// Checks every rule and prints each breach.
pub(crate) fn run() -> Result<()> {
    let text = command::output(&mut cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Metadata = serde_json::from_slice(&text).context("cargo metadata is not what we know")?;
    let mut breaches = edge_breaches(&metadata);
    breaches.extend(runtime_breaches(&metadata));
    for name in PURE {
        breaches.extend(source_breaches(&command::root().join("crates").join(name).join("src"))?);
    }
    for breach in &breaches {
        println!("{breach}");
    }
    if !breaches.is_empty() {
        bail!("{} of the rules on layers broken: ARCHITECTURE.md says why they are there", breaches.len());
    }
    println!("layers hold: {} crates", metadata.workspace_members.len());
    Ok(())
}

/// What we read of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Declared>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
struct Declared {
    name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    /// `None` for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

impl Metadata {
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// What a table says of a crate.
fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(named, _)| *named == name).map(|(_, row)| *row)
}

/// Edges between our crates that [`ALLOWED`] and [`ALLOWED_IN_TESTS`] do not name.
fn edge_breaches(metadata: &Metadata) -> Vec<String> {
    let ours: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut breaches = Vec::new();
    for package in metadata.members() {
        let Some(allowed) = row(ALLOWED, &package.name) else {
            breaches.push(format!("{} has no line in xtask/src/layers.rs: which crates may it see?", package.name));
            continue;
        };
        let in_tests = row(ALLOWED_IN_TESTS, &package.name).unwrap_or_default();
        let may_see = |dependency: &Declared| {
            let name = dependency.name.as_str();
            allowed.contains(&name) || dependency.kind.as_deref() == Some("dev") && in_tests.contains(&name)
        };
        breaches.extend(
            package
                .dependencies
                .iter()
                .filter(|dependency| ours.contains(dependency.name.as_str()) && !may_see(dependency))
                .map(|dependency| format!("{} depends on {}, which it must not see", package.name, dependency.name)),
        );
    }
    breaches
}

/// Chains of normal dependencies from a pure crate to a runtime.
fn runtime_breaches(metadata: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let mut breaches = Vec::new();
    for package in metadata.members().filter(|package| PURE.contains(&package.name.as_str())) {
        let reached = reachable(&metadata.resolve, &package.id);
        breaches.extend(
            reached
                .iter()
                .filter_map(|id| names.get(id))
                .filter(|name| RUNTIMES.contains(name))
                .map(|name| format!("{} reaches {name}: it must do no I/O", package.name)),
        );
    }
    breaches
}

/// Every package that is linked because of one, by id.
fn reachable<'a>(resolve: &'a Resolve, from: &'a str) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, &Node> = resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut seen = BTreeSet::from([from]);
    let mut ahead = vec![from];
    while let Some(node) = ahead.pop().and_then(|id| nodes.get(id)) {
        let linked = node.deps.iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        ahead.extend(linked.map(|edge| edge.pkg.as_str()).filter(|id| seen.insert(id)));
    }
    seen
}

/// Impure words in the sources of a pure crate.
fn source_breaches(dir: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in sources(dir)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let shown = file.strip_prefix(command::root()).unwrap_or(&file).display();
        let found = impure_words(&text).into_iter();
        breaches.extend(found.map(|(line, word)| format!("{shown}:{line}: `{word}` in a crate without I/O or clock")));
    }
    Ok(breaches)
}

/// The Rust files under a folder but the tests.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Line number and word of each impure word; comments do not count.
fn impure_words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        found.extend(words.filter(|word| IMPURE_WORDS.contains(word)).map(|word| (number + 1, word)));
    }
    found
}

#[cfg(test)]
mod tests;
