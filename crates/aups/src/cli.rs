//! The command line: one file per command, in the order of the help.
#![expect(clippy::doc_markdown, reason = "doc comments of arguments are help texts, which show backticks as they are")]

mod audit;
mod backup;
mod bench;
mod config;
mod dead_letter;
mod demo;
mod enrol;
mod group;
mod key;
mod ktm;
mod nos;
mod policy;
mod quarantine;
mod reader;
mod role;
mod schema;
mod score;
mod send;
mod source;
mod sub;
mod token;
mod topics;
mod up;

pub(crate) mod admin;
mod attribute;
pub(crate) mod failure;
pub(crate) mod http;
pub(crate) mod private_file;
mod stop;
pub(crate) mod terminal;
mod versions;

use admin::ServerArgs;
use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// Many things publish over MQTT; only those whom a policy names can read.
#[derive(Debug, Parser)]
#[command(name = "aups", version, arg_required_else_help = true, after_help = EXAMPLES, propagate_version = true)]
#[command(
    long_about = "Authenticated publish and subscribe.\n\nMany things publish over MQTT so that only the people and programs \
that a policy names can read what they publish, whoever runs the broker. Data comes in over HTTP, is scored for security \
and quality, sealed under a temporary key that the policies choose, and published."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups demo                                       the whole job, on real data
  aups up                                         every role in this process
  aups policy apply meteo.cedar                   who may read what
  aups user add alice --attr roles=meteorologist  prints a one-time token
  aups enrol --token TOKEN --out alice.json       alice's keys, made by alice
  aups sub --as alice.json 'data/#'               what alice may read

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied, 4 input refused.";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Ktm(ktm::Ktm),
    Nos(nos::Nos),
    Demo(demo::Demo),
    User(reader::User),
    App(reader::App),
    Group(group::Group),
    Source(source::Source),
    Quarantine(quarantine::Quarantine),
    Policy(policy::Policy),
    Schema(schema::Schema),
    Score(score::Score),
    Config(config::Config),
    DeadLetter(dead_letter::DeadLetter),
    Key(key::Key),
    Token(token::Token),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Enrol(enrol::Enrol),
    Topics(topics::Topics),
    Sub(sub::Sub),
    Send(send::Send),
    Bench(bench::Bench),
}

/// Reads the command line, does what it says, and tells a failure on standard error.
pub(crate) fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run(Cli { command, server }: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let done = runtime.block_on(async {
        match command {
            Command::Up(up) => Box::pin(up.run(&server)).await,
            Command::Ktm(ktm) => Box::pin(ktm.run(&server)).await,
            Command::Nos(nos) => Box::pin(nos.run(&server)).await,
            Command::Demo(demo) => demo.run().await,
            Command::User(user) => user.run(&server).await,
            Command::App(app) => app.run(&server).await,
            Command::Group(group) => group.run(&server).await,
            Command::Source(source) => source.run(&server).await,
            Command::Quarantine(quarantine) => quarantine.run(&server).await,
            Command::Policy(policy) => policy.run(&server).await,
            Command::Schema(schema) => schema.run(&server).await,
            Command::Score(score) => score.run(&server).await,
            Command::Config(config) => config.run(&server).await,
            Command::DeadLetter(dead_letter) => dead_letter.run(&server).await,
            Command::Key(key) => key.run(&server).await,
            Command::Token(token) => token.run(&server).await,
            Command::Audit(audit) => audit.run(&server).await,
            Command::Backup(backup) => backup.run(&server).await,
            Command::Restore(restore) => restore.run(&server).await,
            Command::Enrol(enrol) => enrol.run(&server).await,
            Command::Topics(topics) => topics.run().await,
            Command::Sub(sub) => sub.run().await,
            Command::Send(send) => send.run(&server).await,
            Command::Bench(bench) => bench.run().await,
        }
    });
    // A read of standard input cannot be cancelled: do not wait for its thread.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests;
