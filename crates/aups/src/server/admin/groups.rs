//! `/v1/groups`: groups of readers, which may be in groups.

use super::{Admin, name, read_json};
use crate::server::{
    audit::{Event, Note},
    http::Refused,
};
use aups_core::GroupName;
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::{get, patch},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/groups", get(list).post(add)).route("/v1/groups/{group}", patch(change).delete(remove))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    group: GroupName,
    /// The groups that hold it.
    #[serde(default)]
    groups: BTreeSet<GroupName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    groups: BTreeSet<GroupName>,
}

async fn list(State(admin): State<Admin>) -> Json<Value> {
    let items: Vec<Group> =
        admin.registry.groups().into_iter().map(|(group, groups)| Group { group, groups }).collect();
    Json(json!({ "items": items }))
}

async fn add(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<(StatusCode, Json<Group>), Refused> {
    let added: Group = read_json(request).await?;
    admin.registry.add_group(added.group.clone(), added.groups.clone()).await?;
    note.add("group", &added.group);
    note.add("groups", &added.groups);
    admin.tell(&[Event::Group { group: added.group.clone(), groups: added.groups.clone() }]).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

async fn change(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(group): Path<String>,
    request: Request,
) -> Result<Json<Group>, Refused> {
    let group: GroupName = name(&group)?;
    let change: Change = read_json(request).await?;
    let revoked = admin.registry.change_group(group.clone(), change.groups.clone()).await?;
    note.add("group", &group);
    note.add("groups", &change.groups);
    admin.tell(&[Event::Group { group: group.clone(), groups: change.groups.clone() }]).await?;
    admin.revoked(&note, &revoked).await?;
    Ok(Json(Group { group, groups: change.groups }))
}

async fn remove(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(group): Path<String>,
) -> Result<StatusCode, Refused> {
    let group: GroupName = name(&group)?;
    admin.registry.remove_group(&group).await?;
    note.add("group", &group);
    admin.tell(&[Event::GroupRemoved { group }]).await?;
    Ok(StatusCode::NO_CONTENT)
}
