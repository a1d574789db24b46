//! The private instance, and who takes part in it: all set up as an administrator, a sensor and a reader would.

use super::weather::{QUANTITIES, SENSORS};
use crate::{
    cli::{
        admin::{self, Admin, Token},
        failure::Failure,
        http::{self, at},
    },
    server::{self, Server},
    settings::{Durability, ServerSettings},
    source::Source,
};
use anyhow::Context as _;
use aups_client::{Reader, ReaderOptions, enrol};
use aups_envelope::{enrol::EnrolmentToken, kem::Kem};
use aups_nos::{NosConfig, topic::Topics};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tempfile::TempDir;

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

/// A private instance in a directory of its own, which goes with it.
pub(super) struct Station {
    server: Server,
    url: Url,
    admin: Admin,
    dir: TempDir,
}

/// A reader, connected and subscribed.
pub(super) struct Subscribed {
    pub(super) name: &'static str,
    pub(super) reader: Reader,
}

#[derive(Deserialize)]
struct Registered {
    credential: String,
}

#[derive(Deserialize)]
struct Key {
    state: String,
}

impl Station {
    /// Starts every role and applies the policies.
    pub(super) async fn open() -> Result<Self, Failure> {
        let dir =
            tempfile::Builder::new().prefix("aups-demo-").tempdir().context("cannot make a temporary directory")?;
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let topics =
            Topics::new("greensboro/{nodeId}/{name}", "unregistered/{nodeId}/{name}").map_err(anyhow::Error::from)?;
        let server = server::start(ServerSettings {
            data_dir: dir.path().to_owned(),
            http: any_port,
            mqtt: any_port,
            durability: Durability::Memory,
            nos: NosConfig { topics, ..NosConfig::default() },
            ..ServerSettings::default()
        })
        .await?;
        let url: Url = format!("http://{}", server.http_addr()).parse().context("the server's own address")?;
        let admin = Admin::new(url.clone(), admin::read_token(server.admin_token_file())?)?;
        let _: Value = admin.put_text("/v1/policies", POLICIES.to_owned()).await?;
        Ok(Self { server, url, admin, dir })
    }

    /// `sensor1` to `sensor6` register, in the order of the file's columns.
    pub(super) async fn register_sensors(&self) -> Result<Vec<Source>, Failure> {
        let http = http::client(&self.url)?;
        let mut sensors = Vec::with_capacity(SENSORS);
        for node_id in (0..SENSORS).map(node_id) {
            let body = json!({ "NodeId": node_id, "NodeType": "sensor", "CommunicationMode": "discrete" });
            let request = http.post(at(&self.url, "/registration")).json(&body);
            let answer = request.send().await.map_err(|error| http::unanswered(&self.url, &error))?;
            let body = http::body(&self.url, answer).await?;
            let Registered { credential } = serde_json::from_slice(&body).context("the answer to a registration")?;
            sensors.push(Source::new(self.url.clone(), Some(credential))?);
        }
        Ok(sensors)
    }

    /// Registers, enrols, connects and subscribes the readers.
    pub(super) async fn admit_readers(&self) -> Result<Vec<Subscribed>, Failure> {
        let mut readers = Vec::with_capacity(READERS.len());
        for Part { name, kind, role, .. } in READERS {
            let new = json!({ "sub": name, "attrs": { "roles": role.as_slice() } });
            let Token { token } = self.admin.send_json(Method::POST, &format!("/v1/{kind}"), &new).await?;
            let token: EnrolmentToken = token.parse().context("the enrolment token")?;
            let identity = enrol(self.url.as_str(), &token, Kem::XWing).await?;
            let reader = Reader::connect(identity, ReaderOptions::default()).await?;
            reader.subscribe(&[FILTER]).await?;
            readers.push(Subscribed { name, reader });
        }
        Ok(readers)
    }

    /// How many keys have been sealed with.
    pub(super) async fn keys_used(&self) -> Result<usize, Failure> {
        let keys: Vec<Key> = self.admin.list("/v1/keys/list").await?;
        Ok(keys.iter().filter(|key| key.state != "pre-activation").count())
    }

    /// Stops every role and removes the directory.
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.server.stop().await?;
        self.dir.close().context("cannot remove the temporary directory")?;
        Ok(())
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
