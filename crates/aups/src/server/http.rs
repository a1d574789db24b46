//! One HTTP listener for all roles of the process: routes merged, errors as problem+json, health and metrics.

use super::metrics::describe;
use aups_core::Problem;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::timeout;

/// A request that is not served: answered as problem+json.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
}

impl Refused {
    /// To be tried again after a while.
    pub(crate) fn later(problem: Problem, after: Duration) -> Self {
        Self { problem: Box::new(problem), retry_after: Some(after) }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), retry_after: None }
    }
}

impl From<Box<Problem>> for Refused {
    fn from(problem: Box<Problem>) -> Self {
        Self { problem, retry_after: None }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = aups_nos::problem_response(*self.problem);
        if let Some(after) = self.retry_after {
            aups_nos::retry_after(&mut response, after);
        }
        response
    }
}

/// Longest time that a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads a body of at most so many bytes; a longer one is not buffered.
pub(crate) async fn read_body(request: Request, bytes_max: usize) -> Result<Bytes, Refused> {
    aups_nos::check_content_coding(request.headers())?;
    let read = timeout(BODY_TIME_MAX, Limited::new(request.into_body(), bytes_max).collect());
    let Ok(read) = read.await else {
        let detail = format!("the body was not complete within {} s; send it again", BODY_TIME_MAX.as_secs());
        return Err(Refused::from(Problem::new(408, "too-slow", "Body too slow", detail)));
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::from(Problem::new(
            413,
            "body-too-large",
            "Body too large",
            format!("this request takes at most {bytes_max} bytes"),
        ))),
        Err(_) => Err(Refused::from(Problem::new(
            400,
            "body-incomplete",
            "Body incomplete",
            "the body broke off; send it again",
        ))),
    }
}

/// How long whoever asks for what is not there yet is told to wait.
pub(crate) const UNAVAILABLE_FOR: Duration = Duration::from_secs(5);

/// What `/readyz` asks.
pub(crate) type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// The routes that belong to the process and not to a role, and what answers where no route does.
pub(crate) fn finish(roles: Router, ready: Ready) -> Router {
    let process = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(|| async { metrics_recorder().render() }))
        .route("/openapi.json", get(openapi));
    roles.merge(process).fallback(no_route).method_not_allowed_fallback(no_method)
}

async fn readyz(State(ready): State<Ready>) -> Response {
    if ready() {
        "ready\n".into_response()
    } else {
        Refused::from(Problem::new(
            503,
            "not-ready",
            "Not ready",
            "the broker is not connected, or this NOS holds no lease of its KTM; data is taken, and published when it is",
        ))
        .into_response()
    }
}

/// Answers for paths that another process of the realm has.
pub(crate) fn elsewhere(paths: &[&str], whose: &'static str) -> Router {
    let answer = move |request: Request| async move {
        let detail = format!("{} is served by {whose}", request.uri().path());
        Refused::from(Problem::new(404, "elsewhere", "Served elsewhere", detail))
    };
    paths.iter().fold(Router::new(), |routes, path| routes.route(path, any(answer)))
}

async fn openapi() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

async fn no_route(request: Request) -> Refused {
    let detail = format!("there is nothing at {}; see /openapi.json for what there is", request.uri().path());
    Refused::from(Problem::new(404, "no-route", "No such resource", detail))
}

async fn no_method(request: Request) -> Refused {
    let detail = format!("{} does not take {}; see /openapi.json", request.uri().path(), request.method());
    Refused::from(Problem::new(StatusCode::METHOD_NOT_ALLOWED.as_u16(), "no-method", "Method not allowed", detail))
}

/// How often samples of histograms are folded into their summaries: between two scrapes they would pile up.
const METRICS_UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Begins to count, and keeps the metrics small although nobody scrapes them, for as long as the task runs.
pub(crate) fn keep_metrics() -> impl Future<Output = ()> {
    // Here and not in the task: what happens before that is first run is counted as well.
    let recorder = metrics_recorder();
    async move {
        let mut upkeep = tokio::time::interval(METRICS_UPKEEP_EVERY);
        loop {
            upkeep.tick().await;
            recorder.run_upkeep();
        }
    }
}

/// The process's metrics. Installed once: all servers of a process share it.
fn metrics_recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_ok() {
            describe();
        } else {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        handle
    })
}
