//! The private instance, its topics, scopes and readers.

use super::{
    Plan,
    reader::{Reader, Way},
    watch::Watch,
    wire::Session,
};
use crate::{
    cli::{
        failure::Failure,
        http::{self, at},
    },
    instance::Instance,
    settings::ServerSettings,
    source::Source,
};
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::Clock as _;
use aups_envelope::{
    SigningKey,
    enrol::{EnrolRequest, Enrolled, EnrolmentToken},
    identity::IdentityFile,
    kem::Kem,
    random,
};
use aups_nos::{Config, config::TopicTemplates};
use reqwest::Method;
use serde_json::{Value, json};

/// The role of who keeps all rights.
pub(super) const KEEPER: &str = "keeper";

/// Everything that stands still while rights are taken away.
pub(super) struct Stage {
    pub(super) instance: Instance,
    /// The first level of all topics: no other run's on a broker that is shared.
    realm: String,
    topics: usize,
    scopes: usize,
}

impl Stage {
    /// Starts the instance, with a policy for each topic and a group for each scope.
    pub(super) async fn open(plan: &Plan) -> Result<Self, Failure> {
        let realm = format!("bench-{:08x}", u32::from_be_bytes(random()));
        let registered = format!("{realm}/{{nodeId}}/{{name}}");
        let topics = TopicTemplates { registered, ..TopicTemplates::default() };
        let settings = ServerSettings {
            broker: plan.broker.clone(),
            initial: Config { topics, ..Config::default() },
            ..ServerSettings::default()
        };
        let instance = Instance::open(settings, policies(&realm, plan.topics, plan.scopes)).await?;
        for scope in 0..plan.scopes {
            let new = json!({ "group": group(scope) });
            let _: Value = instance.admin().send_json(Method::POST, "/v1/groups", &new).await?;
        }
        Ok(Self { instance, realm, topics: plan.topics, scopes: plan.scopes })
    }

    /// Everything that is published.
    pub(super) fn filter(&self) -> String {
        format!("{}/#", self.realm)
    }

    /// The topics of a scope.
    pub(super) fn topics_of(&self, scope: usize) -> Vec<String> {
        (scope..self.topics).step_by(self.scopes).map(|topic| self.topic(topic)).collect()
    }

    fn topic(&self, topic: usize) -> String {
        format!("{}/{}/value", self.realm, node(topic))
    }

    /// An observer of all ciphertext, who keeps the right to have it.
    pub(super) async fn watch(&self) -> Result<Watch, Failure> {
        let topics = (0..self.topics).map(|topic| (self.topic(topic), topic % self.scopes));
        let mut watch = Watch::new(topics.collect());
        let identity = self.register(&json!({ "sub": "observer", "attrs": { "roles": [KEEPER] } })).await?;
        watch.observe_by(Session::open(&identity, &[self.filter()], None, watch.sender()).await?);
        Ok(watch)
    }

    /// One source for each topic.
    pub(super) async fn sources(&self) -> Result<Vec<Source>, Failure> {
        let mut sources = Vec::with_capacity(self.topics);
        for topic in 0..self.topics {
            sources.push(self.instance.register_sensor(&node(topic)).await?);
        }
        Ok(sources)
    }

    /// Readers without rights.
    pub(super) async fn readers(&self, readers: usize) -> Result<Vec<Reader>, Failure> {
        let mut enrolled = Vec::with_capacity(readers);
        for place in 0..readers {
            enrolled.push(self.enrol(place).await?);
        }
        Ok(enrolled)
    }

    /// Registers and enrols a reader; who is going to be removed has its right from the beginning.
    pub(super) async fn enrol(&self, place: usize) -> Result<Reader, Failure> {
        let ways = Way::ALL.into_iter().cycle();
        let way = ways.clone().nth(place % Way::ALL.len()).unwrap_or(Way::Removal);
        let scope = (place / Way::ALL.len()) % self.scopes;
        let roles = if way == Way::Removal { vec![role(scope)] } else { Vec::new() };
        let identity = self.register(&json!({ "sub": format!("reader-{place}"), "attrs": { "roles": roles } })).await?;
        Ok(Reader::new(place, scope, way, identity))
    }

    async fn register(&self, new: &Value) -> Result<IdentityFile, Failure> {
        let token = self.instance.register_reader("users", new).await?;
        self.enrol_with(&token).await
    }

    /// What the SDK does as well, but with the keys in our own hands.
    async fn enrol_with(&self, token: &EnrolmentToken) -> Result<IdentityFile, Failure> {
        let (signing_key, kem) = (SigningKey::generate(), Kem::X25519.generate());
        let request = EnrolRequest {
            token: token.secret().duplicate(),
            signing_key: signing_key.public(),
            kem: kem.public(),
            iat: SystemClock.now(),
        };
        let (request, url) = (request.sign(&signing_key), self.instance.url());
        let post = self.instance.http().post(at(url, "/v1/enrol")).header("content-type", "application/jose");
        let answer = post.body(request.clone()).send().await.map_err(|error| http::unanswered(url, &error))?;
        let answer = http::body(url, answer).await?;
        let enrolled = Enrolled::verify(&answer, request.as_bytes(), token).context("the answer to an enrolment")?;
        Ok(IdentityFile::new(enrolled, signing_key, kem))
    }

    /// Stops the instance and leaves nothing behind.
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.instance.close().await
    }
}

fn node(topic: usize) -> String {
    format!("node-{topic}")
}

/// The role that lets somebody read a scope.
pub(super) fn role(scope: usize) -> String {
    format!("reader-{scope}")
}

/// The group that does.
pub(super) fn group(scope: usize) -> String {
    format!("group-{scope}")
}

fn policies(realm: &str, topics: usize, scopes: usize) -> String {
    let permit = |topic: &str, who: &str| {
        format!("permit(principal, action == Action::\"receive\", resource in Topic::\"{topic}\") when {{ {who} }};\n")
    };
    let of_topic = |topic| {
        let (role, group) = (role(topic % scopes), group(topic % scopes));
        let who = format!("principal.roles.contains(\"{role}\") || principal in Group::\"{group}\"");
        permit(&format!("{realm}/{}", node(topic)), &who)
    };
    let all = permit(realm, &format!("principal.roles.contains(\"{KEEPER}\")"));
    (0..topics).map(of_topic).chain([all]).collect()
}
