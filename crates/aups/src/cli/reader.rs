//! `aups user` and `aups app`: who may read. One code for both: they differ in the kind alone.

use super::{
    admin::{Admin, ServerArgs, Token},
    attribute::{Attributes, Given},
    failure::Failure,
    terminal,
};
use aups_client::Identity;
use aups_core::{AttributeValue, GroupName, ReaderKind, Sub};
use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Register people who read
#[derive(Debug, Args)]
#[command(after_help = USER_EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Register people who read.\n\nA user has attributes and groups, which policies ask for, and enrols \
with a one-time token: the keys are made on the user's machine and never leave it."
)]
pub(crate) struct User {
    #[command(subcommand)]
    action: Action,
    /// Act as an app, on the users that it registered: its identity file
    #[arg(long = "as", global = true, value_name = "FILE")]
    app: Option<PathBuf>,
}

/// Register programs that read
#[derive(Debug, Args)]
#[command(after_help = APP_EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Register programs that read.\n\nAn app is registered, enrolled and judged as a user is; policies \
can tell the two apart (`principal is App`)."
)]
pub(crate) struct App {
    #[command(subcommand)]
    action: Action,
}

const USER_EXAMPLES: &str = "\
Examples:
  aups user add alice --attr roles=meteorologist,operator --attr clearance=2
  aups user add bob --group gardeners --tag flat=7
  aups user set alice --attr roles=   alice has no role any more
  aups user token alice               to enrol again: with new keys and password
  aups user token alice --lost        her device is gone: cut it off now
  aups user add carol --as app.json   an app registers a user of its own
  aups user list --json";

const APP_EXAMPLES: &str = "\
Examples:
  aups app add dashboard --attr purposes=display --attr org=CNR
  aups app token dashboard            to enrol again: with new keys and password
  aups app list";

#[derive(Debug, Subcommand)]
enum Action {
    /// Register one; prints the one-time enrolment token, alone
    Add(Add),
    /// Change attributes or groups; what is not named stays
    Set(Set),
    /// Remove one: it can open nothing that is sealed from then on
    Remove {
        /// Who
        sub: Sub,
    },
    /// List all
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Print a new enrolment token, alone; enrolling again replaces keys and password
    Token {
        /// Who
        sub: Sub,
        /// What it has now is in other hands: ends it at once, and replaces the keys of all that it could read
        #[arg(long)]
        lost: bool,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The name, unique across users and apps
    sub: Sub,
    #[command(flatten)]
    given: Given,
    /// A group to be in (repeatable)
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<GroupName>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["attributes", "tags"])))]
struct Set {
    /// Who
    sub: Sub,
    #[command(flatten)]
    given: Given,
    /// To have no tag
    #[arg(long, conflicts_with = "tags", group = "change")]
    no_tags: bool,
    /// A group to be in (repeatable); the groups given replace those of before
    #[arg(long = "group", value_name = "GROUP", group = "change")]
    groups: Vec<GroupName>,
    /// To be in no group
    #[arg(long, conflicts_with = "groups", group = "change")]
    no_groups: bool,
}

#[derive(Serialize)]
struct NewReader<'a> {
    sub: &'a Sub,
    attrs: Attributes,
    groups: &'a [GroupName],
}

#[derive(Serialize)]
struct ChangedReader<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attrs: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [GroupName]>,
}

/// A registered reader, as the server tells it.
#[derive(Deserialize)]
struct Registered {
    sub: Sub,
    attrs: aups_core::Attributes,
    groups: Vec<GroupName>,
    enrolled: bool,
}

impl User {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = match &self.app {
            None => server.admin()?,
            Some(identity) => Admin::app(Identity::load(identity)?)?,
        };
        self.action.run(ReaderKind::User, &admin).await
    }
}

impl App {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        self.action.run(ReaderKind::App, &server.admin()?).await
    }
}

impl Action {
    async fn run(self, kind: ReaderKind, admin: &Admin) -> Result<(), Failure> {
        let path = format!("/v1/{kind}s");
        match self {
            Self::Add(add) => {
                let attrs = add.given.collect(admin).await?;
                let reader = NewReader { sub: &add.sub, attrs, groups: &add.groups };
                let Token { token } = admin.send_json(Method::POST, &path, &reader).await?;
                terminal::line(&token)
            }
            Self::Set(set) => {
                let changed = set.changed(admin).await?;
                let registered: Registered =
                    admin.send_json(Method::PATCH, &format!("{path}/{}", set.sub), &changed).await?;
                terminal::line(&readers_table(&[registered]))
            }
            Self::Remove { sub } => {
                admin.delete(&format!("{path}/{sub}")).await?;
                terminal::line(&format!("removed {kind} {sub}"))
            }
            Self::List { json } => admin.print_list(&path, json, |readers| readers_table(&readers)).await,
            Self::Token { sub, lost } => {
                let query = if lost { "?lost=true" } else { "" };
                let Token { token } = admin.post(&format!("{path}/{sub}/token{query}")).await?;
                terminal::line(&token)
            }
        }
    }
}

impl Set {
    async fn changed(&self, admin: &Admin) -> Result<ChangedReader<'_>, Failure> {
        let mut attrs = self.given.collect(admin).await?;
        if self.no_tags {
            attrs.tags = Some(BTreeMap::new());
        }
        Ok(ChangedReader {
            attrs: (self.no_tags || !self.given.is_empty()).then_some(attrs),
            groups: (self.no_groups || !self.groups.is_empty()).then_some(&*self.groups),
        })
    }
}

fn readers_table(readers: &[Registered]) -> String {
    let rows: Vec<_> = readers
        .iter()
        .map(|reader| {
            [
                reader.sub.to_string(),
                join(&reader.attrs.roles),
                reader.attrs.org.clone(),
                reader.attrs.clearance.to_string(),
                join(&reader.attrs.purposes),
                further(&reader.attrs),
                join(&reader.groups),
                if reader.enrolled { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    terminal::table(&["SUB", "ROLES", "ORG", "CLEARANCE", "PURPOSES", "FURTHER", "GROUPS", "ENROLLED"], &rows)
}

/// Attributes that were added to the schema, and tags.
fn further(attrs: &aups_core::Attributes) -> String {
    let value = |value: &AttributeValue| match value {
        AttributeValue::Truth(truth) => truth.to_string(),
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Texts(texts) => join(texts),
    };
    let added = attrs.further.iter().map(|(name, of)| format!("{name}={}", value(of)));
    let tags = attrs.tags.iter().map(|(name, text)| format!("tag {name}={text}"));
    added.chain(tags).collect::<Vec<_>>().join("; ")
}

fn join<T: ToString>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}
