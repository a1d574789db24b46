//! A server as those meet it who take part: administrator, source and reader, each over HTTP.

use crate::cli::{
    admin::{Admin, Token},
    failure::Failure,
    http::{self, at},
};
use anyhow::Context as _;
use aups_envelope::enrol::EnrolmentToken;
use aups_net::tls::Trust;
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

/// Who sets a server of our own up.
pub(crate) struct Access {
    url: Url,
    http: Client,
    admin: Admin,
}

#[derive(Deserialize)]
struct Registered {
    credential: String,
}

impl Access {
    /// To the server at this URL, whose administrator holds this token.
    pub(crate) fn new(url: Url, admin_token: String) -> Result<Self, Failure> {
        let admin = Admin::new(url.clone(), admin_token, &Trust::System)?;
        Ok(Self { http: http::client(&url, &Trust::System)?, url, admin })
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

    /// Puts a policy set into force.
    pub(crate) async fn apply(&self, policies: String) -> Result<(), Failure> {
        let _: Value = self.admin.put_text("/v1/policies", policies).await?;
        Ok(())
    }

    /// Registers a source: its credential.
    pub(crate) async fn register_source(&self, node_id: &str) -> Result<String, Failure> {
        let body = json!({ "NodeId": node_id, "NodeType": "sensor", "CommunicationMode": "discrete" });
        let request = self.http.post(at(&self.url, "/registration")).json(&body);
        let answer = request.send().await.map_err(|error| http::unanswered(&self.url, &error))?;
        let body = http::body(&self.url, answer).await?;
        let Registered { credential } = serde_json::from_slice(&body).context("the answer to a registration")?;
        Ok(credential)
    }

    /// Registers a reader, of `users` or `apps`.
    pub(crate) async fn register_reader(&self, kind: &str, new: &Value) -> Result<EnrolmentToken, Failure> {
        let Token { token } = self.admin.send_json(Method::POST, &format!("/v1/{kind}"), new).await?;
        Ok(token.parse().context("the enrolment token")?)
    }
}
