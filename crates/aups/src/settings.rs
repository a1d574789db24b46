//! Settings of the server roles: built-in defaults, then `aups.toml`, then the environment and the flags (which the
//! command line lays over what is read here).

use anyhow::{Context as _, bail};
use aups_core::Filter;
use aups_nos::Config;
use clap::ValueEnum;
use serde::Deserialize;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What a 202 means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// The data is on disk: it survives a kill and a power failure.
    #[default]
    Disk,
    /// The data is in memory, as in the paper: faster, and a crash loses what was not yet published.
    Memory,
}

/// How things register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registration {
    /// Anybody who reaches the listener.
    Open,
    /// With a claim token: `aups source invite`.
    Token,
}

/// What holds the key-encryption key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KekHolder {
    /// The file `kek` in the data directory, made at the first start.
    #[default]
    File,
    /// `AUPS_KEK` in the environment: base64url of 32 bytes.
    Env,
    /// A passphrase.
    Passphrase,
}

/// Everything that a role can be told; each takes what concerns it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// Where state, keys and the admin token live.
    pub(crate) data_dir: PathBuf,
    /// HTTP listener.
    pub(crate) http: SocketAddr,
    /// MQTT listener of the embedded broker.
    pub(crate) mqtt: SocketAddr,
    /// Where NOSs that run apart connect to `aups ktm`.
    pub(crate) link: SocketAddr,
    /// Where the KTM of an `aups nos` is: `https://host:port`.
    pub(crate) ktm: Option<String>,
    /// URL of another broker; then no embedded one starts.
    pub(crate) broker: Option<String>,
    /// What a 202 means.
    pub(crate) durability: Durability,
    /// How things register; by default openly on a loopback listener and by token on any other.
    pub(crate) registration: Option<Registration>,
    /// Plain HTTP and MQTT on addresses that others reach.
    pub(crate) insecure: bool,
    /// What holds the key-encryption key.
    pub(crate) kek: KekHolder,
    /// A file with the passphrase; else it is `AUPS_KEK_PASSPHRASE` in the environment, or asked for on the terminal.
    pub(crate) kek_passphrase_file: Option<PathBuf>,
    /// The broker keeps the last message of every topic that one of these filters matches, while nothing was administered.
    pub(crate) retain: Vec<Filter>,
    /// How readers reach the HTTP listener, if not by its own address.
    pub(crate) public_url: Option<String>,
    /// How readers reach the broker, if not by its own address.
    pub(crate) public_mqtt_url: Option<String>,
    /// What is in force while nothing was administered. Not in the settings file.
    #[serde(skip)]
    pub(crate) initial: Config,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            data_dir: "./aups-data".into(),
            http: (Ipv4Addr::LOCALHOST, 8080).into(),
            mqtt: (Ipv4Addr::LOCALHOST, 1883).into(),
            link: (Ipv4Addr::LOCALHOST, 8443).into(),
            ktm: None,
            broker: None,
            durability: Durability::default(),
            registration: None,
            insecure: false,
            kek: KekHolder::default(),
            kek_passphrase_file: None,
            retain: Vec::new(),
            public_url: None,
            public_mqtt_url: None,
            initial: Config::default(),
        }
    }
}

impl ServerSettings {
    /// The defaults, with what a settings file says laid over them.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a settings file", path.display()))
    }

    /// Refuses plain listeners that others reach, unless that was asked for by its name.
    pub(crate) fn check_listeners(&self) -> anyhow::Result<()> {
        self.check_listener("http", self.http)?;
        if self.broker.is_none() { self.check_listener("mqtt", self.mqtt) } else { Ok(()) }
    }

    /// The same for one of them.
    pub(crate) fn check_listener(&self, name: &str, address: SocketAddr) -> anyhow::Result<()> {
        if !address.ip().is_loopback() && !self.insecure {
            bail!(
                "{name} = {address} can be reached by others and this version speaks plain HTTP and MQTT only; \
                 listen on 127.0.0.1 behind a TLS proxy, or say --insecure"
            );
        }
        Ok(())
    }

    /// The configuration that is in force while nothing was administered.
    pub(crate) fn initial_config(&self) -> Config {
        Config { retain: self.retain.clone(), ..self.initial.clone() }
    }

    /// How things register.
    pub(crate) fn registration(&self) -> Registration {
        let by_listener = if self.http.ip().is_loopback() { Registration::Open } else { Registration::Token };
        self.registration.unwrap_or(by_listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_listener_that_others_reach_must_be_asked_for() {
        let mut settings = ServerSettings::default();
        settings.check_listeners().unwrap();
        settings.http = "0.0.0.0:8080".parse().unwrap();
        assert!(settings.check_listeners().unwrap_err().to_string().contains("--insecure"));
        assert_eq!(settings.registration(), Registration::Token);
        settings.insecure = true;
        settings.check_listeners().unwrap();
    }

    #[test]
    fn a_settings_file_lays_over_the_defaults_and_unknown_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("aups.toml");
        fs::write(&file, "http = \"127.0.0.1:0\"\ndurability = \"memory\"\n").unwrap();
        let settings = ServerSettings::load(Some(&file)).unwrap();
        assert_eq!((settings.http.port(), settings.durability), (0, Durability::Memory));
        assert_eq!(settings.mqtt.port(), 1883);
        fs::write(&file, "htp = \"127.0.0.1:0\"\n").unwrap();
        assert!(format!("{:#}", ServerSettings::load(Some(&file)).unwrap_err()).contains("htp"));
    }
}
