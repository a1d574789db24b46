//! `/v1/users` and `/v1/apps`: the same for persons and programs. At `/v1/users` apps rule the users that they registered.

use super::{Admin, name, query, read_json};
use crate::server::{
    audit::{Event, Note, state},
    http::Refused,
    registry::{IssuedToken, NewReader, ReaderChange, ReaderRecord, Registrar},
};
use aups_core::{Attributes, GroupName, ReaderKind, Sub, UnixMillis};
use aups_envelope::enrol::EnrolmentToken;
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, future::ready};

pub(super) fn router() -> Router<Admin> {
    Router::new().nest("/v1/users", of_kind(ReaderKind::User)).nest("/v1/apps", of_kind(ReaderKind::App))
}

fn of_kind(kind: ReaderKind) -> Router<Admin> {
    Router::new()
        .route(
            "/",
            get(move |admin, by| ready(list(kind, admin, by)))
                .post(move |admin, by, note, request| add(kind, admin, by, note, request)),
        )
        .route(
            "/{sub}",
            get(move |admin, by, sub| ready(show(kind, admin, by, sub)))
                .patch(move |admin, by, note, sub, request| change(kind, admin, by, note, sub, request))
                .delete(move |admin, by, note, sub| remove(kind, admin, by, note, sub)),
        )
        .route("/{sub}/token", post(move |admin, by, note, sub, request| token(kind, admin, by, note, sub, request)))
}

/// A reader as the administrator sees it.
#[derive(Debug, Serialize)]
struct View {
    sub: Sub,
    attrs: Attributes,
    groups: BTreeSet<GroupName>,
    enrolled: bool,
    /// The app that registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<Sub>,
}

/// The same with the token that is shown this once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WithToken {
    #[serde(flatten)]
    reader: View,
    token: String,
    token_expires: UnixMillis,
}

impl From<ReaderRecord> for View {
    fn from(record: ReaderRecord) -> Self {
        let enrolled = record.is_enrolled();
        Self { sub: record.sub, attrs: record.attrs, groups: record.groups, enrolled, app: record.app }
    }
}

fn with_token(admin: &Admin, (record, issued): (ReaderRecord, IssuedToken)) -> Json<WithToken> {
    let token = EnrolmentToken::new(issued.secret, &admin.realm.public());
    Json(WithToken { reader: record.into(), token: token.to_string(), token_expires: issued.expires })
}

/// For the audit trail: the reader as it is from now on.
fn tell(note: &Note, record: &ReaderRecord) {
    note.add("sub", &record.sub);
    note.add("attrs", &record.attrs);
    note.add("groups", &record.groups);
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    sub: Sub,
    #[serde(default)]
    attrs: Attributes,
    #[serde(default)]
    groups: BTreeSet<GroupName>,
}

impl Add {
    fn of(self, kind: ReaderKind) -> NewReader {
        NewReader { kind, sub: self.sub, attrs: self.attrs, groups: self.groups }
    }
}

async fn add(
    kind: ReaderKind,
    State(admin): State<Admin>,
    Extension(by): Extension<Registrar>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<(StatusCode, Json<WithToken>), Refused> {
    let body: Add = read_json(request).await?;
    let added = admin.registry.add(&by, body.of(kind)).await?;
    tell(&note, &added.0);
    admin.tell(&[state::reader(&added.0)]).await?;
    Ok((StatusCode::CREATED, with_token(&admin, added)))
}

fn list(kind: ReaderKind, State(admin): State<Admin>, Extension(by): Extension<Registrar>) -> Json<Value> {
    let items: Vec<View> = admin.registry.readers(&by, kind).into_iter().map(View::from).collect();
    Json(json!({ "items": items }))
}

fn show(
    kind: ReaderKind,
    State(admin): State<Admin>,
    Extension(by): Extension<Registrar>,
    Path(sub): Path<String>,
) -> Result<Json<View>, Refused> {
    Ok(Json(admin.registry.get(&by, kind, &name(&sub)?)?.into()))
}

async fn change(
    kind: ReaderKind,
    State(admin): State<Admin>,
    Extension(by): Extension<Registrar>,
    Extension(note): Extension<Note>,
    Path(sub): Path<String>,
    request: Request,
) -> Result<Json<View>, Refused> {
    let sub: Sub = name(&sub)?;
    let change: ReaderChange = read_json(request).await?;
    let (record, revoked) = admin.registry.change(&by, kind, &sub, change).await?;
    tell(&note, &record);
    admin.tell(&[state::reader(&record)]).await?;
    admin.revoked(&note, &revoked).await?;
    Ok(Json(record.into()))
}

async fn remove(
    kind: ReaderKind,
    State(admin): State<Admin>,
    Extension(by): Extension<Registrar>,
    Extension(note): Extension<Note>,
    Path(sub): Path<String>,
) -> Result<StatusCode, Refused> {
    let sub: Sub = name(&sub)?;
    let revoked = admin.registry.remove(&by, kind, &sub).await?;
    note.add("sub", &sub);
    admin.tell(&[Event::ReaderRemoved { sub }]).await?;
    admin.revoked(&note, &revoked).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn token(
    kind: ReaderKind,
    State(admin): State<Admin>,
    Extension(by): Extension<Registrar>,
    Extension(note): Extension<Note>,
    Path(sub): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<WithToken>), Refused> {
    let NewToken { lost } = query(request.uri())?;
    let issued = admin.registry.new_enrolment_token(&by, kind, &name(&sub)?, lost).await?;
    let (record, token, revoked) = issued;
    note.add("sub", &record.sub);
    note.add("tokenExpires", token.expires);
    if lost {
        note.add("lost", true);
        let users = admin.registry.readers(&Registrar::App(record.sub.clone()), ReaderKind::User);
        let readers: Vec<_> = std::iter::once(&record).chain(&users).map(state::reader).collect();
        admin.tell(&readers).await?;
        admin.revoked(&note, &revoked).await?;
    }
    Ok((StatusCode::CREATED, with_token(&admin, (record, token))))
}

/// `?lost=true`: what the reader holds is in other hands, and ends now.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    #[serde(default)]
    lost: bool,
}
