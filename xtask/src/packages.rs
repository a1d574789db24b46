//! System packages that tests and benches call: looked for first, installed only when they are missing.

use crate::command;
use anyhow::{Result, bail};
use std::{io::IsTerminal as _, process::Stdio};

/// A program that we call and the Debian package that brings it.
#[derive(Debug)]
pub(crate) struct Needed {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// Installs the packages of the programs that are missing, and says so first.
pub(crate) fn install(needed: &[Needed], what_for: &str) -> Result<()> {
    let mut missing: Vec<&str> =
        needed.iter().filter(|need| command::find(need.program).is_none()).map(|need| need.package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    println!("{what_for} need {packages}, which this machine does not have: installing with apt-get.");
    if command::find("apt-get").is_none() {
        bail!("there is no apt-get here: install {packages} with this system's package tool, then run this again");
    }
    apt_get(&["update", "-qq"])?;
    apt_get(&[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat())?;
    if let Some(need) = needed.iter().find(|need| command::find(need.program).is_none()) {
        bail!("{} is installed, but brought no `{}`", need.package, need.program);
    }
    tell_of_service(&missing);
    Ok(())
}

/// `apt-get` as root, or through `sudo`.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let root = command::output(&mut command::program("id", &["-u"]))? == b"0\n";
    let ask = std::io::stdin().is_terminal();
    let mut words: Vec<&str> = match (root, command::find("sudo").is_some(), ask) {
        (true, ..) => vec![],
        // A password can be asked for only where somebody sits.
        (false, true, true) => vec!["sudo"],
        (false, true, false) => vec!["sudo", "--non-interactive"],
        (false, false, _) => {
            bail!("apt-get needs root, and there is no sudo: run as root `apt-get {}`", arguments.join(" "))
        }
    };
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    words.extend(arguments);
    let (first, rest) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = command::program(*first, rest);
    if ask {
        command.stdin(Stdio::inherit());
    }
    command::run(&mut command)
}

/// Debian starts a broker that it installs, on the port that `aups up` uses by default.
fn tell_of_service(installed: &[&str]) {
    let running = || command::program("systemctl", &["is-active", "--quiet", "mosquitto"]).status();
    if installed.contains(&"mosquitto") && running().is_ok_and(|status| status.success()) {
        println!(
            "note: the package started a broker of its own on port 1883; the tests do not use it. \
             To have the port for `aups up`: sudo systemctl disable --now mosquitto"
        );
    }
}
