//! `aups up`: every role in one process.

use super::{
    admin::ServerArgs,
    failure::Failure,
    role::{self, NosArgs, RoleArgs, Started},
};
use crate::server::{self, Server};
use clap::Args;

/// Start every role in this process
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Start every role in this process: the NOS that takes data in, the KTM, the policies, the store and, \
unless --broker names another, an MQTT broker.\n\nThe first start makes the realm and DIR/admin.token, with which the \
other commands administer it. Prints one line on standard output once everything listens, `ready http=ADDR mqtt=ADDR`; \
logs go to standard error. Ctrl-C and SIGTERM drain and stop. Settings come from flags, then from AUPS_<FLAG> in the \
environment, then from --config, then from the defaults."
)]
pub(crate) struct Up {
    #[command(flatten)]
    role: RoleArgs,
    #[command(flatten)]
    data_path: NosArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups up
  aups up --data-dir /var/lib/aups --durability disk
  aups up --http 127.0.0.1:0 --mqtt 127.0.0.1:0   free ports: see the ready line
  aups up --broker mqtt://127.0.0.1:1884          publish to a Mosquitto
  aups up --retain 'data/#'                       values for late subscribers
  AUPS_LOG=debug aups up --log-format json";

impl Up {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        self.role.start_log()?;
        let mut settings = self.role.settings(server)?;
        self.data_path.lay_over(&mut settings);
        Box::pin(role::run(server::start(settings))).await
    }
}

impl Started for Server {
    fn addresses(&self) -> String {
        format!("http={} mqtt={}", self.http_addr(), self.mqtt_addr())
    }

    fn nobody_reads(&self) -> bool {
        self.nobody_reads()
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop().await
    }
}
