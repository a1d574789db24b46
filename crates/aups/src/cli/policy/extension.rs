//! What an administrator added to the schema: from a file, or from the server.

use crate::cli::{admin::Admin, failure::Failure};
use aups_policy::{Schema, SchemaExtension};
use std::{fs, path::Path};

/// The schema with what a file adds: JSON, as `aups schema show --json` prints it.
pub(crate) fn read(file: &Path) -> Result<Schema, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
    let extension: SchemaExtension = serde_json::from_str(&text).map_err(|error| {
        Failure::input_refused(format!("{}: {error}", file.display()))
            .help("write it as {\"reader\":{\"site\":\"String\"},\"item\":{\"room\":\"String\"}}")
    })?;
    Schema::extended(&extension).map_err(|error| Failure::input_refused(format!("{}: {error}", file.display())))
}

/// The schema in force at a server.
pub(crate) async fn of_server(admin: &Admin) -> Result<Schema, Failure> {
    let extension: SchemaExtension = admin.get("/v1/schema?extension").await?;
    Schema::extended(&extension).map_err(|error| {
        Failure::failed(format!("the server's schema is not one of this version: {error}"))
            .help("use the program of the server's version")
    })
}
