//! `aups quarantine`: the senders that a NOS keeps out.

use super::{admin::ServerArgs, failure::Failure, terminal};
use aups_core::{UnixMillis, parse_duration};
use aups_nos::quarantine::{Party, QUARANTINE_SECONDS_MAX};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// See whom the server keeps out; let out, or keep out by hand
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "See whom the server keeps out; let out, or keep out by hand.\n\nA sender that goes on over its \
quota, guesses credentials or sends what is malformed is refused for a while, each time for twice as long. A registered \
source answers by its credential (source:NODE), everybody else by the address (address:IP; an IPv6 /64 is one). The rules \
stand in the configuration.\n\nEach NOS has a quarantine of its own, in memory: a restart lets everybody out."
)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups quarantine list
  aups quarantine add source:pump7 --for 2h --reason 'sends nonsense'
  aups quarantine release address:192.0.2.7";

#[derive(Debug, Subcommand)]
enum Action {
    /// List all who are kept out, with the reason and until when
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Keep one out for a while
    Add {
        /// source:NODE or address:IP
        who: Party,
        /// For how long: 10s, 30m, 12h, 30d at most
        #[arg(long = "for", value_name = "TIME", value_parser = seconds, default_value = "1h")]
        seconds: u32,
        /// Why, for the list and the audit trail
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Let one in again, and forget what it did
    Release {
        /// source:NODE or address:IP
        who: Party,
    },
}

#[derive(Serialize)]
struct Add {
    who: Party,
    seconds: u32,
    reason: String,
}

/// A sender that is kept out, as the server tells it.
#[derive(Deserialize)]
struct Listed {
    who: Party,
    since: UnixMillis,
    until: UnixMillis,
    reason: String,
    times: u32,
}

impl Quarantine {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::List { json } => admin.print_list("/v1/quarantine", json, table).await,
            Action::Add { who, seconds, reason } => {
                let add = Add { who, seconds, reason };
                let listed: Listed = admin.send_json(Method::POST, "/v1/quarantine", &add).await?;
                terminal::line(&table(vec![listed]))
            }
            Action::Release { who } => {
                admin.delete(&format!("/v1/quarantine/{who}")).await?;
                terminal::line(&format!("released {who}"))
            }
        }
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    let length = parse_duration(text).map_err(|error| error.to_string())?;
    let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    if (1..=QUARANTINE_SECONDS_MAX).contains(&seconds) { Ok(seconds) } else { Err("it is from 1s to 30d".into()) }
}

fn table(listed: Vec<Listed>) -> String {
    let rows: Vec<_> = listed
        .into_iter()
        .map(|one| {
            let times = if one.times == 0 { "by hand".into() } else { one.times.to_string() };
            [one.who.to_string(), one.since.to_string(), one.until.to_string(), times, one.reason]
        })
        .collect();
    terminal::table(&["WHO", "SINCE", "UNTIL", "TIMES", "REASON"], &rows)
}
