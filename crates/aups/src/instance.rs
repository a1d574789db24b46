//! A private instance: every role in this process, on free ports, in a directory of its own that goes with it. Who takes
//! part is set up as an administrator, a source and a reader would do it: over HTTP.

use crate::{
    cli::{
        admin::{self, Admin, Token},
        failure::Failure,
        http::{self, at},
    },
    server::{self, Server},
    settings::ServerSettings,
    source::Source,
};
use anyhow::Context as _;
use aups_envelope::enrol::EnrolmentToken;
use aups_net::tls::Trust;
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tempfile::TempDir;

/// A private instance.
pub(crate) struct Instance {
    server: Server,
    url: Url,
    http: Client,
    admin: Admin,
    dir: TempDir,
}

#[derive(Deserialize)]
struct Registered {
    credential: String,
}

impl Instance {
    /// Starts every role with these settings, but for the directory and the addresses, and applies policies.
    pub(crate) async fn open(settings: ServerSettings, policies: String) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("aups-").tempdir().context("cannot make a temporary directory")?;
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let settings = ServerSettings { data_dir: dir.path().to_owned(), http: any_port, mqtt: any_port, ..settings };
        let server = server::start(settings).await?;
        let url: Url = format!("http://{}", server.http_addr()).parse().context("the server's own address")?;
        let admin = Admin::new(url.clone(), admin::read_token(&server.admin_token_file())?, &Trust::System)?;
        let _: Value = admin.put_text("/v1/policies", policies).await?;
        Ok(Self { http: http::client(&url, &Trust::System)?, server, url, admin, dir })
    }

    /// Where its HTTP listens.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// HTTP to it, without any rights.
    pub(crate) const fn http(&self) -> &Client {
        &self.http
    }

    /// Its administrator.
    pub(crate) const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Registers a sensor.
    pub(crate) async fn register_sensor(&self, node_id: &str) -> Result<Source, Failure> {
        let body = json!({ "NodeId": node_id, "NodeType": "sensor", "CommunicationMode": "discrete" });
        let request = self.http.post(at(&self.url, "/registration")).json(&body);
        let answer = request.send().await.map_err(|error| http::unanswered(&self.url, &error))?;
        let body = http::body(&self.url, answer).await?;
        let Registered { credential } = serde_json::from_slice(&body).context("the answer to a registration")?;
        Source::new(self.url.clone(), Some(credential), &Trust::System)
    }

    /// Registers a reader, of `users` or `apps`.
    pub(crate) async fn register_reader(&self, kind: &str, new: &Value) -> Result<EnrolmentToken, Failure> {
        let Token { token } = self.admin.send_json(Method::POST, &format!("/v1/{kind}"), new).await?;
        Ok(token.parse().context("the enrolment token")?)
    }

    /// Stops every role and removes the directory.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.server.stop().await?;
        self.dir.close().context("cannot remove the temporary directory")?;
        Ok(())
    }
}
