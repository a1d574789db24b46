//! `aups audit`: who did what to the realm, and whether the record of it is whole.

mod access;
mod readable;
mod search;
mod shown;
mod source;
mod tail;
mod verify;

use super::{admin::ServerArgs, failure::Failure, terminal};
use clap::{Args, Subcommand};

/// Look at the audit trail
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Look at the audit trail: who changed what, from where and with what outcome, who enrolled, who got which \
keys, who was refused. Reads are counted and shown every hour."
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups audit tail --follow
  aups audit search --sub alice --since 2026-11-01
  aups audit access alice --since 2026-11-01
  aups audit who-could-read data/s1/temperature --on 2026-11-22
  aups audit checkpoint > elsewhere/checkpoint.jws
  aups audit verify --checkpoint elsewhere/checkpoint.jws
  aups audit verify --files aups-data/audit --realm-key KEY";

#[derive(Debug, Subcommand)]
enum Action {
    Tail(tail::Tail),
    Search(search::Search),
    Access(access::Access),
    WhoCouldRead(readable::WhoCouldRead),
    Verify(verify::Verify),
    /// Print what the realm signs of the whole trail up to now, to be kept elsewhere
    Checkpoint,
}

impl Audit {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Tail(tail) => tail.run(server).await,
            Action::Search(search) => search.run(server).await,
            Action::Access(access) => access.run(server).await,
            Action::WhoCouldRead(question) => question.run(server).await,
            Action::Verify(verify) => verify.run(server).await,
            Action::Checkpoint => terminal::line(&server.admin()?.get_text("/v1/audit/checkpoint").await?),
        }
    }
}
