//! The demo: one year of a weather station through a private instance, every step over real HTTP and MQTT.

mod audience;
mod board;
mod screen;
mod sensor;
mod station;
mod weather;

use crate::{
    cli::{failure::Failure, terminal},
    source::Rate,
};
use board::Board;
use screen::Screen;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::interval};
use weather::SENSORS;

/// How often the view is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// Runs the demo and prints its view and its outcome.
pub(crate) async fn run(rate: Rate) -> Result<(), Failure> {
    let hours = Arc::new(weather::hours().map_err(anyhow::Error::from)?);
    let station = station::Station::open().await?;
    let sensors = station.register_sensors().await?;
    let readers = station.admit_readers().await?;
    let names: Vec<_> = readers.iter().map(|reader| reader.name).collect();
    let board = Arc::new(Board::new(names, hours.len()));

    let mut at_work = JoinSet::new();
    for (reader, place) in readers.into_iter().zip(0..) {
        at_work.spawn(audience::read(reader, place, Arc::clone(&board)));
    }
    for (source, sensor) in sensors.into_iter().zip(0..) {
        at_work.spawn(sensor::send(source, sensor, Arc::clone(&hours), rate.shared_by(SENSORS), Arc::clone(&board)));
    }
    let mut screen = Screen::open()?;
    let mut ticks = interval(DRAWN_EVERY);
    loop {
        tokio::select! {
            ended = at_work.join_next() => match ended {
                Some(ended) => ended.map_err(|error| Failure::failed(format!("the demo broke down: {error}")))??,
                None => break,
            },
            _ = ticks.tick() => screen.draw(&board)?,
        }
    }
    screen.finish(&board)?;
    let keys = station.keys_used().await?;
    station.close().await?;
    terminal::line(&board.summary(keys))
}
