//! The administrator's side of the HTTP API.

use super::{
    failure::Failure,
    http::{self, SERVER_DEFAULT, at},
    terminal,
};
use aups_client::Identity;
use aups_core::{Problem, ReaderKind};
use aups_envelope::SecretBytes;
use aups_net::tls::{Authorities, Trust};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which server, and the right to administer it: taken after any subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// The server's address [default: http://127.0.0.1:8080]
    #[arg(long, global = true, env = "AUPS_SERVER", value_name = "URL", value_parser = http::server_url)]
    #[arg(default_value = SERVER_DEFAULT, hide_default_value = true, hide_env = true)]
    pub(crate) server: Url,
    /// A file with the authorities that the server's certificate may be of [default: <DATA_DIR>/ca.pem and the system's]
    #[arg(long, global = true, env = "AUPS_CA", value_name = "FILE", hide_env = true)]
    ca: Option<PathBuf>,
    /// A file with the admin token [default: <DATA_DIR>/admin.token, or the token in AUPS_ADMIN_TOKEN]
    #[arg(long, global = true, env = "AUPS_ADMIN_TOKEN_FILE", value_name = "FILE", hide_env = true)]
    admin_token_file: Option<PathBuf>,
    /// The server's data directory: state, keys and admin.token [default: ./aups-data]
    #[arg(long, global = true, env = "AUPS_DATA_DIR", value_name = "DIR", hide_env = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

impl ServerArgs {
    /// The administrator whom these arguments name.
    pub(crate) fn admin(&self) -> Result<Admin, Failure> {
        Admin::new(self.server.clone(), self.token()?, &self.trust()?)
    }

    /// Whom to take for the server.
    pub(crate) fn trust(&self) -> Result<Trust, Failure> {
        let (given, kept) = (self.ca_pem()?, self.data_dir().join("ca.pem"));
        let read = |pem: &[u8]| {
            Authorities::from_pem(pem)
                .map_err(|error| Failure::failed(format!("the --ca file cannot be used: {error}")))
        };
        Ok(match (given, fs::read(kept)) {
            (Some(pem), _) => Trust::Only(read(pem.as_bytes())?),
            (None, Ok(pem)) => Trust::SystemAnd(read(&pem)?),
            (None, Err(_)) => Trust::System,
        })
    }

    /// The file that `--ca` names.
    pub(crate) fn ca_pem(&self) -> Result<Option<String>, Failure> {
        let read = |file: &PathBuf| {
            fs::read_to_string(file)
                .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))
        };
        self.ca.as_ref().map(read).transpose()
    }

    fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| "./aups-data".into())
    }

    fn token(&self) -> Result<String, Failure> {
        let file = match (&self.admin_token_file, std::env::var("AUPS_ADMIN_TOKEN")) {
            (Some(file), _) => file.clone(),
            (None, Ok(token)) => return Ok(token.trim().to_owned()),
            (None, Err(_)) => self.data_dir().join("admin.token"),
        };
        read_token(&file).map_err(|failure| {
            failure.help(
                "run this where `aups up` runs, or name the file with --admin-token-file or --data-dir, \
                 or put the token into AUPS_ADMIN_TOKEN",
            )
        })
    }
}

/// The admin token that a file holds.
pub(crate) fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::failed(format!("cannot read the admin token from {}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

/// A token that is shown once: of an enrolment, or of a registration.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) token: String,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

/// Somebody who may administer a server, or an app its own users. The token is not printed: no `Debug`.
pub(crate) struct Admin {
    http: Client,
    server: Url,
    credential: Credential,
}

enum Credential {
    Token(String),
    App(Box<Identity>),
}

impl Admin {
    /// An administrator of `server` who holds its token.
    pub(crate) fn new(server: Url, token: String, trust: &Trust) -> Result<Self, Failure> {
        Ok(Self { http: http::client(&server, trust)?, server, credential: Credential::Token(token) })
    }

    /// An app that rules the users that it registered, at the server that enrolled it.
    pub(crate) fn app(identity: Identity) -> Result<Self, Failure> {
        if identity.kind() != ReaderKind::App {
            let error = format!("{} is a user: only an app has users of its own", identity.sub());
            return Err(Failure::denied(error).help("name the identity file of an app with --as"));
        }
        let server = http::server_url(identity.server()).map_err(Failure::failed)?;
        let trust = identity.trust().map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self { http: http::client(&server, &trust)?, server, credential: Credential::App(Box::new(identity)) })
    }

    /// `GET` of a list, answered with its items.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let Items { items } = self.json(self.request(Method::GET, path)).await?;
        Ok(items)
    }

    /// Prints a list: as a JSON array, with all that the server tells, or as a table.
    pub(crate) async fn print_list<T: DeserializeOwned>(
        &self,
        path: &str,
        json: bool,
        table: impl FnOnce(Vec<T>) -> String,
    ) -> Result<(), Failure> {
        terminal::line(&if json {
            serde_json::Value::Array(self.list(path).await?).to_string()
        } else {
            table(self.list(path).await?)
        })
    }

    /// `GET`, answered with JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.request(Method::GET, path)).await
    }

    /// `GET`, answered with text.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let body = self.send(self.request(Method::GET, path)).await?;
        String::from_utf8(body).map_err(|_| Failure::failed(format!("{} answered no UTF-8 text", self.server)))
    }

    /// A JSON body by `method`, answered with JSON.
    pub(crate) async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.json(self.request(method, path).json(body)).await
    }

    /// The same, if a version is still in force.
    pub(crate) async fn send_json_if<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        if_version: Option<u64>,
    ) -> Result<T, Failure> {
        self.json(expecting(self.request(method, path).json(body), if_version)).await
    }

    /// `POST` without a body, answered with JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(self.request(Method::POST, path)).await
    }

    /// `PUT` of a text, answered with JSON.
    pub(crate) async fn put_text<T: DeserializeOwned>(&self, path: &str, text: String) -> Result<T, Failure> {
        let answer = self.send_text(Method::PUT, path, text, None).await?;
        answer.map_err(|problem| Failure::answered(&problem))
    }

    /// A text by `method`, answered with JSON, or with a problem that the caller tells in its own way.
    pub(crate) async fn send_text<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        text: String,
        if_version: Option<u64>,
    ) -> Result<Result<T, Problem>, Failure> {
        let request = self.request(method, path).header("content-type", "text/plain; charset=utf-8").body(text);
        let response = self.response(expecting(request, if_version)).await?;
        match http::answer(&self.server, response).await? {
            Ok(body) => Ok(Ok(self.parse(&body)?)),
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// JSON, as it was written, by `method`; answered with text, or with a problem that the caller tells in its own way.
    pub(crate) async fn send_document(
        &self,
        method: Method,
        path: &str,
        document: String,
        if_version: Option<u64>,
    ) -> Result<Result<String, Problem>, Failure> {
        let request = self.request(method, path).header("content-type", "application/json").body(document);
        let response = self.response(expecting(request, if_version)).await?;
        Ok(http::answer(&self.server, response).await?.map(|body| String::from_utf8_lossy(&body).into_owned()))
    }

    /// `POST` of a secret, answered with what is read piece by piece.
    pub(crate) async fn download(&self, path: &str, secret: SecretBytes) -> Result<Response, Failure> {
        let response = self.response(self.request(Method::POST, path).body(secret.expose().to_vec())).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        http::body(&self.server, response).await?;
        Err(Failure::failed(format!("{} answered something else than expected", self.server)))
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, path)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, at(&self.server, path));
        match &self.credential {
            Credential::Token(token) => request.bearer_auth(token),
            Credential::App(identity) => request.bearer_auth(identity.bearer()),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let body = self.send(request).await?;
        self.parse(&body)
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            Failure::failed(format!("{} answered something else than expected: {error}", self.server))
                .help("is this an AUPS server of this version?")
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        http::body(&self.server, self.response(request).await?).await
    }

    async fn response(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| http::unanswered(&self.server, &error))
    }
}

/// Done only if this version is still in force.
fn expecting(request: RequestBuilder, version: Option<u64>) -> RequestBuilder {
    match version {
        Some(version) => request.header("if-match", format!("\"{version}\"")),
        None => request,
    }
}
