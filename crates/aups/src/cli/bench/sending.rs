//! How a bench sends.

use super::{from_to, time};
use crate::{
    bench::generator::{self, Arrivals, Pace},
    settings::Durability,
    source::Rate,
};
use clap::Args;
use std::{num::NonZeroUsize, time::Duration};

/// What all loads have in common.
#[derive(Debug, Args)]
pub(super) struct Sending {
    /// How the requests of an open loop are spread
    #[arg(long, value_enum, default_value_t)]
    arrivals: Arrivals,
    /// Connections that send
    #[arg(long, value_name = "N", default_value = "32")]
    connections: NonZeroUsize,
    /// Least length of a reading in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = from_to::<0, 60_000>)]
    pub(super) payload: usize,
    /// How long a key is used, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(super) life: Duration,
    /// What a 202 of AUPS means
    #[arg(long, value_enum, default_value_t = Durability::Memory)]
    pub(super) durability: Durability,
    /// Repeats the readings and the arrivals of another run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

impl Sending {
    /// For so long, at a rate of readings, `batch` of them in a request.
    pub(super) fn requests(&self, duration: Duration, rate: Rate, batch: Option<NonZeroUsize>) -> generator::Plan {
        let pace = Pace::of_readings(rate, batch, self.arrivals);
        generator::Plan { connections: self.connections, pace, batch, duration, first: 0 }
    }
}
