//! `aups demo`: the whole job on real input.

use super::{failure::Failure, stop::Stop};
use crate::source::Rate;
use clap::Args;

/// Show the whole job on a year of weather-station data
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Show the whole job on a year of weather-station data.\n\nSix sensors register and send 52,560 readings \
(built in) through a private instance: everything goes over real HTTP and MQTT on free ports, and nothing is left behind. A \
meteorologist may read temperature and humidity, a gardener humidity only, a guest nothing; the table shows who could open \
what, and how uncertainty and outliers show in the scores."
)]
pub(crate) struct Demo {
    /// Readings per second, or max: as fast as it goes
    #[arg(long, value_name = "R", default_value = "2000")]
    rate: Rate,
}

const EXAMPLES: &str = "\
Examples:
  aups demo                    26 seconds at 2,000 readings per second
  aups demo --rate 20          as the paper measured; takes 44 minutes
  aups demo --rate max > out   plain lines where no terminal looks";

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        // Dropped where it stands, the demo takes its directory with it.
        tokio::select! {
            done = crate::demo::run(self.rate) => done,
            () = stop.asked() => Err(Failure::failed("stopped before the end")),
        }
    }
}
