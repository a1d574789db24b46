//! `aups schema`: what policies may ask about.

use super::{
    admin::{Admin, ServerArgs},
    failure::Failure,
    policy::extension,
    terminal::{self, counted},
};
use aups_policy::SchemaExtension;
use clap::{Args, Subcommand};
use reqwest::Method;
use std::path::PathBuf;

/// Say what policies may ask about
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Say what policies may ask about.\n\nTo the attributes that every realm has you can add your own: of readers \
(--attr at `aups user add`) and of items (members of what sources send). All are optional: a policy asks `has` first. What a \
policy in force asks for, or a registered reader has, cannot be taken away."
)]
pub(crate) struct Schema {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups schema show                 the schema in force, in Cedar's language
  aups schema show --json > schema.json
  aups schema set schema.json      replaces what was added before
  aups user add alice --attr site=rome

What is added, with the types String, Long, Bool, Set<String>, decimal (items):
  {\"reader\":{\"site\":\"String\"},\"item\":{\"room\":\"String\"}}";

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the schema in force
    Show {
        /// Only what was added to it: JSON, as `set` takes it
        #[arg(long)]
        json: bool,
    },
    /// Replace what was added to it; in force at once
    Set(Set),
}

#[derive(Debug, Args)]
struct Set {
    /// What to add: JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only if this version, the ETag of GET /v1/schema, is still in force
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

impl Schema {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::Show { json: true } => {
                let added: SchemaExtension = admin.get("/v1/schema?extension").await?;
                terminal::line(&serde_json::json!(added).to_string())
            }
            Action::Show { json: false } => terminal::text(&admin.get_text("/v1/schema").await?),
            Action::Set(set) => set.run(&admin).await,
        }
    }
}

impl Set {
    async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let schema = extension::read(&self.file)?;
        let added: SchemaExtension =
            admin.send_json_if(Method::PUT, "/v1/schema", schema.extension(), self.if_version).await?;
        let count = added.reader.len() + added.item.len();
        terminal::line(&format!("{} added to the schema that ships", counted(count, "attribute", "attributes")))
    }
}
