//! The private instance, and who takes part in it: all set up as an administrator, a sensor and a reader would.

use super::weather::{QUANTITIES, SENSORS};
use crate::{
    cli::failure::Failure,
    instance::Instance,
    settings::{Durability, ServerSettings},
    source::Source,
};
use aups_client::{Reader, ReaderOptions, enrol};
use aups_envelope::kem::Kem;
use aups_nos::{Config, config::TopicTemplates};
use serde::Deserialize;
use serde_json::json;

/// Who may read what.
const POLICIES: &str = include_str!("station.cedar");
/// What each reader subscribes to: everything that the station publishes. What it can open is another matter.
const FILTER: &str = "greensboro/#";

/// A reader of the demo. The readers differ in kind and role alone.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Where such readers are registered: `users` or `apps`.
    kind: &'static str,
    role: Option<&'static str>,
    /// What the policies let it read, in words.
    pub(super) may: &'static str,
}

/// The program that runs the station: what it opens fills the table.
pub(super) const OPERATOR: &str = "station";

/// Who reads.
pub(super) const READERS: [Part; 4] = [
    Part { name: OPERATOR, kind: "apps", role: Some("operator"), may: "the program that runs it: everything" },
    Part {
        name: "meteo",
        kind: "users",
        role: Some("meteorologist"),
        may: "a meteorologist: temperature and humidity",
    },
    Part { name: "gardener", kind: "users", role: Some("gardener"), may: "a gardener: humidity" },
    Part { name: "guest", kind: "users", role: None, may: "nobody in particular: nothing (but the station's notices)" },
];

/// The weather station: a private instance, its sensors and its readers.
pub(super) struct Station(Instance);

/// A reader, connected and subscribed.
pub(super) struct Subscribed {
    pub(super) name: &'static str,
    pub(super) reader: Reader,
}

#[derive(Deserialize)]
struct Key {
    state: String,
}

impl Station {
    /// Starts every role and applies the policies.
    pub(super) async fn open() -> Result<Self, Failure> {
        let topics = TopicTemplates { registered: "greensboro/{nodeId}/{name}".into(), ..TopicTemplates::default() };
        let settings = ServerSettings {
            durability: Durability::Memory,
            initial: Config { topics, ..Config::default() },
            ..ServerSettings::default()
        };
        Ok(Self(Instance::open(settings, POLICIES.to_owned()).await?))
    }

    /// `sensor1` to `sensor6` register, in the order of the file's columns.
    pub(super) async fn register_sensors(&self) -> Result<Vec<Source>, Failure> {
        let mut sensors = Vec::with_capacity(SENSORS);
        for node_id in (0..SENSORS).map(node_id) {
            sensors.push(self.0.register_sensor(&node_id).await?);
        }
        Ok(sensors)
    }

    /// Registers, enrols, connects and subscribes the readers.
    pub(super) async fn admit_readers(&self) -> Result<Vec<Subscribed>, Failure> {
        let mut readers = Vec::with_capacity(READERS.len());
        for Part { name, kind, role, .. } in READERS {
            let new = json!({ "sub": name, "attrs": { "roles": role.as_slice() } });
            let token = self.0.register_reader(kind, &new).await?;
            let identity = enrol(self.0.url().as_str(), &token, Kem::XWing, None).await?;
            let reader = Reader::connect(identity, ReaderOptions::default()).await?;
            reader.subscribe(&[FILTER]).await?;
            readers.push(Subscribed { name, reader });
        }
        Ok(readers)
    }

    /// How many keys have been sealed with.
    pub(super) async fn keys_used(&self) -> Result<usize, Failure> {
        let keys: Vec<Key> = self.0.admin().list("/v1/keys/list").await?;
        Ok(keys.iter().filter(|key| key.state != "pre-activation").count())
    }

    /// Stops every role and removes the directory.
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.0.close().await
    }
}

/// `sensor1` is the sensor of the first column.
pub(super) fn node_id(sensor: usize) -> String {
    format!("sensor{}", sensor + 1)
}

/// Where each sensor's readings are published.
pub(super) fn topics() -> [String; SENSORS] {
    std::array::from_fn(|sensor| {
        let name = QUANTITIES.get(sensor).map_or("", |quantity| quantity.name);
        format!("greensboro/{}/{name}", node_id(sensor))
    })
}
