//! A private instance: every role in this process, on free ports, in a directory of its own that goes with it. Who takes
//! part is set up as an administrator, a source and a reader would do it: over HTTP.

use crate::{
    access::Access,
    cli::{
        admin::{self, Admin},
        failure::Failure,
    },
    server::{self, Server},
    settings::ServerSettings,
    source::Source,
};
use anyhow::Context as _;
use aups_envelope::enrol::EnrolmentToken;
use aups_net::tls::Trust;
use reqwest::{Client, Url};
use serde_json::Value;
use std::net::Ipv4Addr;
use tempfile::TempDir;

/// A private instance.
pub(crate) struct Instance {
    server: Server,
    access: Access,
    dir: TempDir,
}

impl Instance {
    /// Starts every role with these settings, but for the directory and the addresses, and applies policies.
    pub(crate) async fn open(settings: ServerSettings, policies: String) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("aups-").tempdir().context("cannot make a temporary directory")?;
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let settings = ServerSettings { data_dir: dir.path().to_owned(), http: any_port, mqtt: any_port, ..settings };
        let server = server::start(settings).await?;
        let url = format!("http://{}", server.http_addr()).parse().context("the server's own address")?;
        let access = Access::new(url, admin::read_token(&server.admin_token_file())?)?;
        access.apply(policies).await?;
        Ok(Self { server, access, dir })
    }

    /// Where its HTTP listens.
    pub(crate) const fn url(&self) -> &Url {
        self.access.url()
    }

    /// HTTP to it, without any rights.
    pub(crate) const fn http(&self) -> &Client {
        self.access.http()
    }

    /// Its administrator.
    pub(crate) const fn admin(&self) -> &Admin {
        self.access.admin()
    }

    /// Registers a sensor.
    pub(crate) async fn register_sensor(&self, node_id: &str) -> Result<Source, Failure> {
        let credential = self.access.register_source(node_id).await?;
        Source::new(self.url().clone(), Some(credential), &Trust::System)
    }

    /// Registers a reader, of `users` or `apps`.
    pub(crate) async fn register_reader(&self, kind: &str, new: &Value) -> Result<EnrolmentToken, Failure> {
        self.access.register_reader(kind, new).await
    }

    /// Stops every role and removes the directory.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.server.stop().await?;
        self.dir.close().context("cannot remove the temporary directory")?;
        Ok(())
    }
}
