//! `/v1/explain`: why a reader may read something, or may not, or what it may subscribe to.

use super::{Admin, name, read_json};
use crate::server::{http::Refused, policies::blocking};
use aups_core::{Filter, Item, Marks, Principal, Problem, Sub, Topic, UnixMillis};
use aups_nos::Readers as _;
use aups_policy::{Pdp, RequestContext, nearest};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/explain", post(explain)).route("/v1/readers/{sub}", get(reader))
}

/// A reader as policies see it: with every group that holds one of its groups, and with the app that registered it.
async fn reader(State(admin): State<Admin>, Path(sub): Path<String>) -> Result<Json<Value>, Refused> {
    let sub: Sub = name(&sub)?;
    let reader = admin.registry.reader(&sub).ok_or_else(|| unknown(&admin, &sub))?;
    Ok(Json(view(&reader.principal)))
}

fn view(who: &Principal) -> Value {
    let app = who.app.as_deref().map(view);
    json!({ "kind": who.kind, "sub": who.sub, "attrs": who.attributes, "groups": who.groups, "app": app })
}

/// A question. Either `filter` or `topic`; what follows `topic` goes with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    reader: Sub,
    filter: Option<Filter>,
    topic: Option<Topic>,
    /// As readers get it.
    item: Option<Item>,
    /// What is said of the item's source; what the administrator said of it if nothing is.
    marks: Option<Marks>,
    /// When the key is asked for: RFC 3339.
    at: Option<String>,
    /// Where from.
    address: Option<IpAddr>,
}

async fn explain(State(admin): State<Admin>, request: Request) -> Result<Json<Value>, Refused> {
    let question: Question = read_json(request).await?;
    let Some(reader) = admin.registry.reader(&question.reader) else { return Err(unknown(&admin, &question.reader)) };
    let pdp = Arc::clone(&admin.policies.decisions().borrow());
    let answer = match (&question.filter, &question.topic) {
        (Some(filter), None) => judge(&pdp, &reader.principal, filter),
        (None, Some(topic)) => {
            let (topic, context) = (topic.clone(), question.context()?);
            let item = question.item;
            let marks = question.marks.or_else(|| marks_of(&admin, item.as_ref()?)).unwrap_or_default();
            blocking(move || {
                let known = item.as_ref().map(|item| (item, &marks));
                json!(pdp.explain(&reader.principal, &topic, known, &context))
            })
            .await
        }
        _ => return Err(malformed("ask about a `topic` or about a `filter`, one of them", "topic")),
    };
    Ok(Json(answer))
}

/// What the administrator says of the source of an item.
fn marks_of(admin: &Admin, item: &Item) -> Option<Marks> {
    let source = item.source.registered.then(|| item.source.node_id.parse().ok()).flatten();
    Some(admin.sources.as_ref()?.sources.get(&source?)?.marks.clone())
}

fn judge(pdp: &Pdp, who: &Principal, filter: &Filter) -> Value {
    let verdict = pdp.filter(who, filter);
    json!({ "reader": who.sub, "filter": filter, "accepted": verdict.is_accepted(), "reason": verdict.reason() })
}

impl Question {
    fn context(&self) -> Result<RequestContext, Refused> {
        let at = self.at.as_deref().map(UnixMillis::parse_rfc3339).transpose();
        Ok(RequestContext { at: at.map_err(|error| malformed(error.to_string(), "at"))?, address: self.address })
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>, member: &'static str) -> Refused {
    Refused::from(Problem::new(400, "malformed-question", "Malformed question", detail).member(member))
}

fn unknown(admin: &Admin, sub: &Sub) -> Refused {
    let known = admin.registry.principals();
    let near = nearest(sub.as_str(), known.iter().map(|who| who.sub.as_str()));
    let suggestion = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let detail = format!("no user and no app is called `{sub}`{suggestion}");
    Refused::from(Problem::new(404, "unknown", "Not registered", detail).member("reader"))
}
