//! Which way a key request goes: over HTTP to the server, or over the MQTT session.

use std::{str::FromStr, time::Duration};
use thiserror::Error;

/// So long the requests go over MQTT after the server could not be reached.
const HTTP_AGAIN_AFTER: Duration = Duration::from_mins(5);

/// Which way keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeysOver {
    /// HTTP, and MQTT for five minutes whenever the server cannot be reached.
    ///
    /// HTTP first: it needs no rights at the broker, the server knows there where a reader asks from, which policies may
    /// demand, and an answer never waits behind messages. The default.
    #[default]
    Either,
    /// HTTP alone.
    Http,
    /// MQTT alone: the reader has one connection. The broker must let it publish on `aups/kr/<sub>` and subscribe
    /// `aups/ks/<sub>`.
    Mqtt,
}

/// A text that names no way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("keys are asked for over `either`, `http` or `mqtt`")]
pub struct KeysOverError;

impl FromStr for KeysOver {
    type Err = KeysOverError;

    fn from_str(text: &str) -> Result<Self, KeysOverError> {
        match text {
            "either" => Ok(Self::Either),
            "http" => Ok(Self::Http),
            "mqtt" => Ok(Self::Mqtt),
            _ => Err(KeysOverError),
        }
    }
}

/// The way of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Mqtt,
}

/// Which way the next request goes.
#[derive(Debug)]
pub(crate) struct Ways {
    keys_over: KeysOver,
    /// By the monotonic clock.
    mqtt_until: Duration,
}

impl Ways {
    pub(crate) const fn new(keys_over: KeysOver) -> Self {
        Self { keys_over, mqtt_until: Duration::ZERO }
    }

    pub(crate) fn next(&self, now: Duration) -> Way {
        match self.keys_over {
            KeysOver::Http => Way::Http,
            KeysOver::Either if now >= self.mqtt_until => Way::Http,
            KeysOver::Either | KeysOver::Mqtt => Way::Mqtt,
        }
    }

    /// Nobody answered: the next request goes the other way, if there is a choice.
    pub(crate) fn failed(&mut self, way: Way, now: Duration) {
        self.mqtt_until = match way {
            Way::Http => now + HTTP_AGAIN_AFTER,
            Way::Mqtt => Duration::ZERO,
        };
    }

    /// Whether any request may go over MQTT.
    pub(crate) fn may_use_mqtt(&self) -> bool {
        self.keys_over != KeysOver::Http
    }
}

#[cfg(test)]
mod tests;
