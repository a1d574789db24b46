//! Settings of the server roles: built-in defaults, then `aups.toml`, then the environment and the flags (which the
//! command line lays over what is read here).

use anyhow::{Context as _, bail};
use aups_core::Filter;
use aups_nos::Config;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What a 202 means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
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
    /// TLS on loopback as well.
    pub(crate) tls: bool,
    /// A certificate of the administrator's own, with its chain, in PEM, in place of one of the realm's authority.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key.
    pub(crate) tls_key: Option<PathBuf>,
    /// Further names and addresses by which the listeners are reached.
    pub(crate) tls_name: Vec<String>,
    /// The authorities of a broker that is reached over `mqtts://`, in PEM; else the system's.
    pub(crate) broker_ca: Option<PathBuf>,
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
            tls: false,
            tls_cert: None,
            tls_key: None,
            tls_name: Vec::new(),
            broker_ca: None,
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

    /// Refuses words on TLS that contradict each other.
    pub(crate) fn check_tls(&self) -> anyhow::Result<()> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            bail!("--tls-cert and --tls-key go together: a certificate is of no use without its private key");
        }
        if self.insecure && (self.tls || self.tls_cert.is_some()) {
            bail!("--insecure asks for plain HTTP and MQTT, --tls and --tls-cert for TLS: say one of them");
        }
        if self.broker_ca.is_some() && self.broker.is_none() {
            bail!("--broker-ca says whom to trust at --broker mqtts://..., which is missing");
        }
        Ok(())
    }

    /// The configuration that is in force while nothing was administered.
    pub(crate) fn initial_config(&self) -> Config {
        Config { retain: self.retain.clone(), ..self.initial.clone() }
    }

    /// Where a NOS listens.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        if self.broker.is_some() { vec![self.http] } else { vec![self.http, self.mqtt] }
    }

    /// Whether a listener there speaks TLS: where others reach it, unless they are to be served in clear.
    pub(crate) fn speaks_tls(&self, address: SocketAddr) -> bool {
        let asked_for = self.tls || self.tls_cert.is_some() || !address.ip().is_loopback();
        asked_for && !self.insecure
    }

    /// The administrator's own certificate and its key.
    pub(crate) fn tls_files(&self) -> Option<(PathBuf, PathBuf)> {
        self.tls_cert.clone().zip(self.tls_key.clone())
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
    fn what_others_reach_speaks_tls_unless_it_is_to_be_insecure() {
        let (here, anywhere) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let mut settings = ServerSettings { http: anywhere, ..ServerSettings::default() };
        assert!(settings.speaks_tls(anywhere) && !settings.speaks_tls(here));
        assert_eq!(settings.registration(), Registration::Token);
        settings.tls = true;
        assert!(settings.speaks_tls(here));
        settings.check_tls().unwrap();
        settings.insecure = true;
        assert!(!settings.speaks_tls(anywhere));
        assert!(settings.check_tls().unwrap_err().to_string().contains("say one of them"));
        settings = ServerSettings { tls_cert: Some("cert.pem".into()), ..ServerSettings::default() };
        assert!(settings.check_tls().unwrap_err().to_string().contains("--tls-key"));
        settings.tls_key = Some("key.pem".into());
        settings.check_tls().unwrap();
        assert!(settings.speaks_tls(here), "a certificate is there to be used");
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
