//! What the roles have in common: flags over environment over settings file, a log, and a stop that drains.

use super::{
    admin::ServerArgs,
    failure::Failure,
    stop::Stop,
    terminal::{self, Stream},
};
use crate::settings::{Durability, KekHolder, Registration, ServerSettings};
use aups_core::Filter;
use clap::{Args, ValueEnum};
use std::{io, net::SocketAddr, path::PathBuf};
use tracing_subscriber::EnvFilter;

/// Flags of every role.
#[derive(Debug, Args)]
pub(super) struct RoleArgs {
    /// HTTP listener; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, hide_env = true, env = "AUPS_HTTP", value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Speak TLS on loopback too; elsewhere that goes without saying
    #[arg(long, hide_env = true, env = "AUPS_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", hide_possible_values = true)]
    tls: Option<bool>,
    /// A name or address by which others reach this (repeatable), for its certificate
    #[arg(long, hide_env = true, env = "AUPS_TLS_NAME", value_name = "NAME", value_delimiter = ',')]
    tls_name: Vec<String>,
    /// Your own certificate with its chain (PEM); read again when it changes [default: one of the realm's authority]
    #[arg(long, hide_env = true, env = "AUPS_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, hide_env = true, env = "AUPS_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Allow plain HTTP and MQTT on addresses that others can reach
    #[arg(long, hide_env = true, env = "AUPS_INSECURE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", hide_possible_values = true)]
    insecure: Option<bool>,
    /// What holds the key-encryption key: the file DIR/kek, AUPS_KEK, or a passphrase [default: file]
    #[arg(long, hide_env = true, env = "AUPS_KEK_PROVIDER", value_enum, value_name = "HOLDER")]
    kek: Option<KekHolder>,
    /// A file with that passphrase; else AUPS_KEK_PASSPHRASE, or the terminal
    #[arg(long, hide_env = true, env = "AUPS_KEK_PASSPHRASE_FILE", value_name = "FILE")]
    kek_passphrase_file: Option<PathBuf>,
    /// A settings file (TOML)
    #[arg(long, hide_env = true, env = "AUPS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or directives such as aups_nos=debug
    #[arg(long, hide_env = true, env = "AUPS_LOG", value_name = "FILTER", default_value = "info,mqtt5=warn")]
    log: String,
    /// How to log
    #[arg(long, hide_env = true, env = "AUPS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

/// Flags of a NOS.
#[derive(Debug, Args)]
pub(super) struct NosArgs {
    /// MQTT listener of the embedded broker; port 0 picks one [default: 127.0.0.1:1883]
    #[arg(long, hide_env = true, env = "AUPS_MQTT", value_name = "ADDR")]
    mqtt: Option<SocketAddr>,
    /// Publish to this broker, as in mqtt://user:password@127.0.0.1:1884; no embedded one starts
    #[arg(long, hide_env = true, env = "AUPS_BROKER", value_name = "URL")]
    broker: Option<String>,
    /// The authorities that a broker at mqtts:// may be of (PEM) [default: the system's]
    #[arg(long, hide_env = true, env = "AUPS_BROKER_CA", value_name = "FILE")]
    broker_ca: Option<PathBuf>,
    /// What a 202 means: the data is on disk, or in memory [default: disk]
    #[arg(long, hide_env = true, env = "AUPS_DURABILITY", value_enum)]
    durability: Option<Durability>,
    /// How things register: openly, or with a token of `aups source invite` [default: open on loopback, else token]
    #[arg(long, hide_env = true, env = "AUPS_REGISTRATION", value_enum)]
    registration: Option<Registration>,
    /// Let the broker keep the last message of matching topics for later subscribers (repeatable)
    #[arg(long, hide_env = true, env = "AUPS_RETAIN", value_name = "FILTER", value_delimiter = ',')]
    retain: Vec<Filter>,
    /// How readers and sources reach the HTTP listener, if not by its own address
    #[arg(long, hide_env = true, env = "AUPS_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

impl RoleArgs {
    /// The settings file with what flags and environment say laid over it.
    pub(super) fn settings(&self, server: &ServerArgs) -> Result<ServerSettings, Failure> {
        let mut settings = ServerSettings::load(self.config.as_deref())?;
        settings.data_dir = server.data_dir.clone().unwrap_or(settings.data_dir);
        settings.http = self.http.unwrap_or(settings.http);
        settings.tls = self.tls.unwrap_or(settings.tls);
        if !self.tls_name.is_empty() {
            settings.tls_name.clone_from(&self.tls_name);
        }
        settings.tls_cert = self.tls_cert.clone().or(settings.tls_cert);
        settings.tls_key = self.tls_key.clone().or(settings.tls_key);
        settings.insecure = self.insecure.unwrap_or(settings.insecure);
        settings.kek = self.kek.unwrap_or(settings.kek);
        settings.kek_passphrase_file = self.kek_passphrase_file.clone().or(settings.kek_passphrase_file);
        Ok(settings)
    }

    /// Begins to log on standard error.
    pub(super) fn start_log(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            Failure::failed(format!("--log {}: {error}", self.log)).help("try --log info, or --log aups_nos=debug")
        })?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        match self.log_format {
            LogFormat::Human => log.with_ansi(Stream::Stderr.is_coloured()).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        Ok(())
    }
}

impl NosArgs {
    /// Lays what flags and environment say over the settings.
    pub(super) fn lay_over(self, settings: &mut ServerSettings) {
        settings.mqtt = self.mqtt.unwrap_or(settings.mqtt);
        settings.broker = self.broker.or(settings.broker.take());
        settings.broker_ca = self.broker_ca.or(settings.broker_ca.take());
        settings.durability = self.durability.unwrap_or(settings.durability);
        settings.registration = self.registration.or(settings.registration);
        settings.public_url = self.public_url.or(settings.public_url.take());
        if !self.retain.is_empty() {
            settings.retain = self.retain;
        }
    }
}

/// A role that listens.
pub(super) trait Started {
    /// What its ready line says after `ready`.
    fn addresses(&self) -> String;

    /// Whether no policy is in force, so that nobody reads.
    fn nobody_reads(&self) -> bool;

    /// Drains and stops.
    async fn stop(self) -> anyhow::Result<()>;
}

/// Starts a role, says that it is ready, and stops it when that is asked.
pub(super) async fn run<S: Started>(starting: impl Future<Output = anyhow::Result<S>>) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let started = tokio::select! {
        started = starting => started?,
        () = stop.asked() => return Ok(()),
    };
    terminal::line(&format!("ready {}", started.addresses()))?;
    if started.nobody_reads() {
        tracing::warn!(
            "no policy is in force: nobody reads, and nothing is published; say who may: aups policy apply FILE"
        );
    }
    stop.asked().await;
    tracing::info!("draining");
    started.stop().await?;
    Ok(())
}
