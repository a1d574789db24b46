//! `aups ktm`: the realm's own process, for NOSs that run apart; and which NOSs those are.

use super::{
    admin::{ServerArgs, Token},
    failure::Failure,
    role::{self, RoleArgs, Started},
    terminal,
};
use crate::server::{self, KtmServer};
use aups_core::{NosId, UnixMillis};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;

/// Start the KTM of a realm whose NOSs run apart, or say which NOSs those are
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(
    long_about = "Start the KTM of a realm whose NOSs run apart: it keeps the keys, the policies and the registrations, and \
administrators talk to it.\n\nNOSs connect over TLS, each with a certificate that it is given for the one-time token of `aups \
ktm admit-nos`. Every change holds at all of them before its command returns; a NOS that does not answer may neither seal nor \
give keys after 30 s, and so long such a command waits at most. Prints one line on standard output once it listens, `ready \
http=ADDR link=ADDR`."
)]
pub(crate) struct Ktm {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where NOSs connect, over TLS; port 0 picks one [default: 127.0.0.1:8443]
    #[arg(long, hide_env = true, env = "AUPS_LINK", value_name = "ADDR")]
    link: Option<SocketAddr>,
    #[command(flatten)]
    role: RoleArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups ktm --data-dir /var/lib/aups-ktm --link 0.0.0.0:8443
  aups ktm admit-nos roof > roof.token   a one-time token, good for 15 minutes
  aups ktm list-nos
  aups ktm remove-nos roof               it was stolen";

#[derive(Debug, Subcommand)]
enum Action {
    /// Let a NOS join; prints its one-time token, alone
    #[command(name = "admit-nos")]
    Admit {
        /// Its name, which readers see as the signer of its answers
        name: NosId,
    },
    /// List the NOSs: their leases, and how far they follow
    #[command(name = "list-nos")]
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// End a NOS: it gets no keys, readers drop what it sends, and every key it had is replaced
    #[command(name = "remove-nos")]
    Remove {
        /// Its name
        name: NosId,
    },
}

/// A NOS as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    nos: NosId,
    admitted: Option<UnixMillis>,
    publisher: Option<u32>,
    connected: bool,
    lease_ms: u64,
    skew_ms: Option<i64>,
    certificate_expires: Option<UnixMillis>,
}

impl Ktm {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let Some(action) = self.action else {
            self.role.start_log()?;
            let mut settings = self.role.settings(server)?;
            settings.link = self.link.unwrap_or(settings.link);
            return Box::pin(role::run(server::start_ktm(settings))).await;
        };
        let admin = server.admin()?;
        match action {
            Action::Admit { name } => {
                let Token { token } = admin.send_json(Method::POST, "/v1/nos", &json!({ "nos": name })).await?;
                terminal::line(&token)
            }
            Action::List { json } => admin.print_list("/v1/nos", json, table).await,
            Action::Remove { name } => {
                terminal::note("its keys are replaced; then its lease runs out: at most 30 s");
                admin.delete(&format!("/v1/nos/{name}")).await?;
                terminal::line(&format!("removed NOS {name}"))
            }
        }
    }
}

fn table(nodes: Vec<Listed>) -> String {
    let time = |time: Option<UnixMillis>| time.map_or_else(String::new, |time| time.to_string());
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let rows: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            let state = match (node.admitted, node.connected, node.lease_ms) {
                (None, ..) => "invited",
                (_, true, _) => "connected",
                (_, false, 0) => "away",
                (_, false, _) => "lease running out",
            };
            [
                node.nos.to_string(),
                state.to_owned(),
                number(node.publisher.map(i64::from)),
                number(node.skew_ms),
                time(node.certificate_expires),
            ]
        })
        .collect();
    terminal::table(&["NOS", "STATE", "SLOT", "SKEW MS", "CERTIFICATE EXPIRES"], &rows)
}

impl Started for KtmServer {
    fn addresses(&self) -> String {
        format!("http={} link={}", self.http_addr(), self.link_addr())
    }

    fn nobody_reads(&self) -> bool {
        self.nobody_reads()
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop().await
    }
}
