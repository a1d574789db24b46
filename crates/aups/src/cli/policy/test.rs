//! `aups policy test`: does a policy set do what is expected of it?

use super::{
    SERVER_STEM,
    expectations::{Expectations, Failed},
    extension, fault,
    text::PolicyText,
};
use crate::cli::{
    admin::{Admin, ServerArgs},
    failure::Failure,
    terminal::{self, counted, harmless},
};
use aups_core::{Attributes, GroupName, Principal, ReaderKind, RealmId, Sub};
use aups_policy::{Pdp, PolicySet, Schema};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

/// Check a set against expectations; changes nothing
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    long_about = "Check a policy set against expectations; changes nothing.\n\nAn expectation names a reader, a topic, perhaps an \
item, and the outcome: allow, deny, or depends (on the item). Readers that the file does not describe must be registered at \
the server. Exit code 4: an expectation does not hold."
)]
pub(super) struct Test {
    /// Files with expectations (TOML)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The policies, taken together as one set [default: the set in force]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// What was added to the schema: JSON [default: the server's if one is asked]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups policy test building.toml                 the set in force
  aups policy test building.toml --policies building.cedar

A file of expectations:
  [[reader]]                 # made up; any other must be registered
  sub = \"alice\"
  roles = [\"meteorologist\"]

  [[expect]]
  reader = \"alice\"
  topic = \"data/s1/temperature\"
  item = { quality = { accuracy = 0.79 }, value = 21.5, labels = [\"x\"] }
  at = \"2026-11-22T10:00:00Z\"
  outcome = \"deny\"           # allow, deny; without an item also depends";

impl Test {
    pub(super) async fn run(&self, server: &ServerArgs) -> Result<(), Failure> {
        let expectations = read(&self.files)?;
        let asks_server = self.policies.is_empty() || expectations.iter().any(|file| !file.others().is_empty());
        let admin = asks_server.then(|| server.admin()).transpose()?;
        let schema = match (&self.schema, &admin) {
            (Some(file), _) => extension::read(file)?,
            (None, Some(admin)) => extension::of_server(admin).await?,
            (None, None) => Schema::shipped(),
        };
        let text = match &admin {
            Some(admin) if self.policies.is_empty() => {
                PolicyText::of("the set in force", &admin.get_text("/v1/policies").await?)
            }
            _ => PolicyText::read(&self.policies)?,
        };
        let failed = unmet(&expectations, &text, &schema, admin.as_ref()).await?;
        let count: usize = expectations.iter().map(Expectations::len).sum();
        if self.json {
            terminal::line(&as_json(count, &failed).to_string())?;
        } else {
            print(count, &failed)?;
        }
        verdict(count, &failed)
    }
}

/// Runs expectations that an apply names: one that does not hold is a failure.
pub(super) async fn before_apply(files: &[PathBuf], text: &PolicyText, admin: &Admin) -> Result<(), Failure> {
    let expectations = read(files)?;
    let failed = unmet(&expectations, text, &extension::of_server(admin).await?, Some(admin)).await?;
    for failed in &failed {
        terminal::note(&told(failed));
    }
    verdict(expectations.iter().map(Expectations::len).sum(), &failed)
}

fn read(files: &[PathBuf]) -> Result<Vec<Expectations>, Failure> {
    files.iter().map(|file| Expectations::read(file)).collect()
}

/// Those that do not hold for a policy set. `admin` is whom to ask for registered readers.
async fn unmet(
    expectations: &[Expectations],
    text: &PolicyText,
    schema: &Schema,
    admin: Option<&Admin>,
) -> Result<Vec<Failed>, Failure> {
    let set = PolicySet::parse_in(schema, text.source(), SERVER_STEM).map_err(|errors| fault::tell(text, &errors))?;
    // No scope is made here: the realm does not matter.
    let pdp = Pdp::new(RealmId::from_bytes([0; 32]), set);
    let mut failed = Vec::new();
    for file in expectations {
        file.check_readers(schema)?;
        let mut registered = HashMap::new();
        for sub in file.others() {
            if let Some(admin) = admin {
                registered.insert(sub.clone(), registered_reader(admin, sub).await?);
            }
        }
        failed.extend(file.unmet(&pdp, &registered)?);
    }
    Ok(failed)
}

/// A reader as the server's policies see it.
#[derive(Deserialize)]
struct Registered {
    kind: ReaderKind,
    sub: Sub,
    attrs: Attributes,
    groups: BTreeSet<GroupName>,
    app: Option<Box<Registered>>,
}

async fn registered_reader(admin: &Admin, sub: &Sub) -> Result<Principal, Failure> {
    let registered: Registered = admin.get(&format!("/v1/readers/{sub}")).await?;
    Ok(registered.into())
}

impl From<Registered> for Principal {
    fn from(Registered { kind, sub, attrs, groups, app }: Registered) -> Self {
        Self { kind, sub, attributes: attrs, groups, app: app.map(|app| Arc::new((*app).into())) }
    }
}

fn verdict(count: usize, failed: &[Failed]) -> Result<(), Failure> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::input_refused(format!(
        "{} of {} not hold; nothing was changed",
        failed.len(),
        counted(count, "expectation does", "expectations do")
    )))
}

fn print(count: usize, failed: &[Failed]) -> Result<(), Failure> {
    for failed in failed {
        terminal::line(&told(failed))?;
    }
    if failed.is_empty() {
        terminal::line(&counted(count, "expectation holds", "expectations hold"))?;
    }
    Ok(())
}

/// Where, what was expected, what came, and why.
fn told(failed: &Failed) -> String {
    let Failed { file, line, expected, explanation } = failed;
    let why = explanation.to_string();
    let why: Vec<_> = why.lines().map(|line| format!("  {}", harmless(line))).collect();
    format!("{}:{line}: {expected} was expected, {} came\n{}", file.display(), explanation.answer, why.join("\n"))
}

fn as_json(count: usize, failed: &[Failed]) -> serde_json::Value {
    let failed: Vec<_> = failed
        .iter()
        .map(|Failed { file, line, expected, explanation }| {
            json!({ "file": file, "line": line, "expected": expected, "explanation": explanation })
        })
        .collect();
    json!({ "expectations": count, "failed": failed })
}
