//! `aups enrol`: make a reader's keys, on the reader's machine.

use super::{admin::ServerArgs, failure::Failure, terminal};
use aups_client::ReservedFile;
use aups_envelope::{
    enrol::{EnrolmentToken, EnrolmentTokenError},
    kem::Kem,
};
use clap::Args;
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// Make a reader's keys and identity file, with a one-time token
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Make a reader's keys and identity file, with the one-time token that `aups user add`, `aups app add` \
or `... token` printed.\n\nThe keys are made here and their secret halves never leave this machine. The token names the \
realm, so that nobody can pose as the server. The identity file is as good as the reader itself: it is written for its \
owner alone (mode 0600)."
)]
pub(crate) struct Enrol {
    /// The one-time token
    #[arg(long, allow_hyphen_values = true)]
    token: Token,
    /// The identity file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How keys will be sent to this reader: x-wing resists quantum computers, x25519 is smaller and faster
    #[arg(long, value_name = "x-wing|x25519", default_value_t)]
    kem: Kem,
}

const EXAMPLES: &str = "\
Examples:
  aups enrol --server http://127.0.0.1:8080 --token TOKEN --out alice.json
  aups enrol --token \"$(aups user add bob)\" --out bob.json --kem x25519";

impl Enrol {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let ca = server.ca_pem()?;
        // Made first: the token works once only, and its identity needs a place.
        let file = ReservedFile::create(&self.out)?;
        let identity = aups_client::enrol(server.server.as_str(), &self.token.0, self.kem, ca.as_deref()).await?;
        file.write(&identity)?;
        let out = self.out.display();
        terminal::line(&format!(
            "wrote {out}: the identity of {} {}; keep it secret",
            identity.kind(),
            identity.sub()
        ))?;
        terminal::note(&format!("next: aups topics --as {out}, then aups sub --as {out} FILTER"));
        Ok(())
    }
}

/// A token, shared because the argument parser demands to copy.
#[derive(Clone)]
struct Token(Arc<EnrolmentToken>);

impl FromStr for Token {
    type Err = EnrolmentTokenError;
    fn from_str(text: &str) -> Result<Self, EnrolmentTokenError> {
        text.trim().parse().map(|token| Self(Arc::new(token)))
    }
}

/// Its name alone: the token is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
