//! `aups nos`: a NOS alone, of a realm whose KTM is elsewhere.

use super::{
    admin::ServerArgs,
    failure::Failure,
    role::{self, NosArgs, RoleArgs},
};
use crate::server;
use aups_ktm::link::{AdmissionToken, AdmissionTokenError};
use clap::Args;

/// Start a NOS whose KTM is elsewhere
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Start a NOS whose KTM is elsewhere: it takes data in, seals and publishes it, and gives readers their \
keys, by the policies and registrations of its realm.\n\nThe first start needs the one-time token that `aups ktm admit-nos` \
prints; later ones do not. A NOS that does not reach its KTM goes on for 30 s; then it only takes data in, and publishes it \
when the KTM is back. Its data directory has an admin.token of its own, for its sources and its audit trail; policies and \
readers are administered at the KTM. Prints one line on standard output once everything listens, `ready http=ADDR \
mqtt=ADDR`."
)]
pub(crate) struct Nos {
    /// Where its KTM is, as `aups ktm` says in its ready line: https://HOST:PORT
    #[arg(long, hide_env = true, env = "AUPS_KTM", value_name = "URL")]
    ktm: Option<String>,
    /// The one-time token that admits it, at its first start
    #[arg(long, hide_env = true, env = "AUPS_ADMISSION", value_name = "TOKEN", allow_hyphen_values = true)]
    #[arg(value_parser = admission)]
    admission: Option<String>,
    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    data_path: NosArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups ktm admit-nos roof > roof.token            at the KTM
  aups nos --ktm https://127.0.0.1:8443 --admission \"$(cat roof.token)\" \\
    --data-dir ./roof --broker mqtt://127.0.0.1:1884
  aups nos --ktm https://127.0.0.1:8443 --data-dir ./roof   from then on";

impl Nos {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        self.role.start_log()?;
        let mut settings = self.role.settings(server)?;
        self.data_path.lay_over(&mut settings);
        settings.ktm = self.ktm.or(settings.ktm);
        let admission = self.admission.and_then(|token| token.parse().ok());
        Box::pin(role::run(server::start_nos(settings, admission))).await
    }
}

/// An admission token, as it was written.
fn admission(text: &str) -> Result<String, AdmissionTokenError> {
    let text = text.trim();
    text.parse::<AdmissionToken>().map(|_| text.to_owned())
}
