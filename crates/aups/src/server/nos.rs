//! A NOS alone, of a realm whose KTM is elsewhere.

use super::{
    Server,
    admin::{self, Sessions, SourcesAdmin},
    administration::RESIDUALS_MAX,
    audit::Signer,
    config::FollowedConfig,
    data_path::{DataPath, Realm},
    enrolment::{ENROL_BODY_BYTES_MAX, Reach},
    http::{self, Refused, read_body},
    http_url, open_keyring,
    process::Process,
    replica::Replica,
    serving::{Serving, listen},
    tls::{Authority, Tls},
};
use crate::settings::ServerSettings;
use anyhow::Context as _;
use aups_core::{Clock, Problem};
use aups_envelope::{Certificate, realm_id};
use aups_ktm::{
    KeysTopicsManager as _, custody,
    link::{AdmissionToken, Enrolment, Lease, LinkSettings, RemoteKtm, USES_REPORTED_MAX},
};
use aups_nos::Usage;
use aups_policy::Residuals;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::post,
};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{interval, sleep},
};

/// How often topics in use are reported to the realm's own process, where administrators ask for them.
const USES_REPORTED_EVERY: Duration = Duration::from_secs(2);

/// How often a newer certificate is looked for, and how soon again while there is none.
const CERTIFICATE_LOOKED_AT_EVERY: Duration = Duration::from_hours(1);
const CERTIFICATE_LOOKED_AT_AGAIN: Duration = Duration::from_secs(1);

/// What is administered at the KTM.
const OF_THE_KTM: [&str; 16] = [
    "/v1/users",
    "/v1/users/{*rest}",
    "/v1/apps",
    "/v1/apps/{*rest}",
    "/v1/groups",
    "/v1/groups/{*rest}",
    "/v1/policies",
    "/v1/policies/{*rest}",
    "/v1/schema",
    "/v1/config",
    "/v1/config/{*rest}",
    "/v1/explain",
    "/v1/keys/{*rest}",
    "/v1/scopes",
    "/v1/scopes/{*rest}",
    "/v1/nos",
];

/// Starts a NOS alone; when this returns, everything listens. Whether it seals and gives keys, its KTM decides.
pub(crate) async fn start_nos(settings: ServerSettings, admission: Option<AdmissionToken>) -> anyhow::Result<Server> {
    settings.check_tls()?;
    let url = settings.ktm.clone().context("say where the KTM is: --ktm https://HOST:PORT")?;
    let mut process = Process::open(&settings.data_dir).await?;
    let keyring = open_keyring(&settings, &*process.store).await?;
    let config = FollowedConfig::open(Arc::clone(&process.store), settings.initial_config()).await?;
    let config = Arc::new(config);
    let (dir, clock) = (process.dir.join("link"), Arc::clone(&process.clock));
    let replica = OnceLock::new();
    let remote = RemoteKtm::connect(LinkSettings { url: url.clone(), dir, admission, clock }, |realm_key| {
        Arc::clone(replica.get_or_init(|| Arc::new(Replica::new(realm_id(realm_key), Arc::clone(&config))))) as _
    });
    let remote = Arc::new(remote.await?);
    let replica = replica.into_inner().context("the link has no realm")?;
    let id = remote.name();
    tracing::info!(nos = %id, url, "a NOS of the KTM there");
    let tls = Tls::open(&mut process, &settings, &settings.listeners(), Authority::AtKtm(Arc::clone(&remote))).await?;
    let listener = listen(settings.http, tls.http(&settings)?).await?;
    let server_url = http_url(&settings, &listener);
    let certificate = watch::Sender::new(None);
    let audit_key = custody::nos_signing_key(Arc::clone(&process.store), &keyring, &id).await?;
    process.audit.sign_with(Signer::nos(remote.realm_key(), audit_key, certificate.subscribe()));
    process.keep_up(keep_certificate(Arc::clone(&remote), Arc::clone(&process.clock), certificate));
    let realm = Realm {
        key: remote.realm_key(),
        ktm: Arc::clone(&remote) as _,
        decisions: replica.decisions(),
        residuals: Arc::new(Residuals::new(RESIDUALS_MAX)),
        readers: Arc::clone(&replica) as _,
        clock: remote.clock(),
        config: config.in_force(),
    };
    let data_path = DataPath::start(&mut process, &settings, &tls, id, &keyring, realm).await?;
    let DataPath { nos, mqtt } = &data_path;
    process.keep_up(end_sessions(replica, Arc::clone(&mqtt.sessions)));
    process.keep_up(report_uses(Arc::clone(&remote), nos.usage()));

    let sources = SourcesAdmin {
        recent: nos.recent(),
        sources: nos.sources(),
        quarantine: nos.quarantine(),
        clock: Arc::clone(&process.clock),
    };
    let reach = Reach { server_url, mqtt_url: mqtt.url.clone(), ca: tls.readers_trust() };
    let routes = nos
        .router()
        .merge(admin::nos_router(process.access(None, None), sources, nos.dead_letters()))
        .merge(tls.routes())
        .route("/v1/enrol", post(pass_on_enrolment).with_state((Arc::clone(&remote), reach)))
        .merge(http::elsewhere(&OF_THE_KTM, "the KTM of this realm: give its address with --server"));
    let (sink, takes_data, lease) = (Arc::clone(&mqtt.sink), nos.takes_data(), remote.lease());
    let ready = move || sink.connected() && takes_data() && *lease.borrow() != Lease::Ended;
    let serving = Serving::start(listener, http::finish(routes, Arc::new(ready)));
    Ok(Server { process, serving, data_path, nobody_reads: false })
}

/// Ends the sessions of readers whose rights or passwords changed, and those with subscriptions that are no longer accepted.
async fn end_sessions(replica: Arc<Replica>, sessions: Arc<dyn Sessions>) {
    loop {
        for sub in replica.changed_readers().await {
            sessions.end(sub.as_str()).await;
        }
        sessions.review().await;
    }
}

/// Looks after the certificate that the realm gives this NOS: with it, it signs its audit trail.
async fn keep_certificate(remote: Arc<RemoteKtm>, clock: Arc<dyn Clock>, certificate: watch::Sender<Option<String>>) {
    let (name, realm_key) = (remote.name(), remote.realm_key());
    let is_own = |jws: &String| {
        Certificate::verify(jws, &realm_key, clock.now()).is_ok_and(|certificate| certificate.nos == name)
    };
    loop {
        let listed = remote.publishers().await.unwrap_or_default();
        let own = listed.into_iter().find(is_own);
        let wait = if own.is_some() { CERTIFICATE_LOOKED_AT_EVERY } else { CERTIFICATE_LOOKED_AT_AGAIN };
        if own.is_some() {
            certificate.send_replace(own);
        }
        sleep(wait).await;
    }
}

/// Tells the realm's own process on which topics something is published.
async fn report_uses(remote: Arc<RemoteKtm>, usage: Arc<Usage>) {
    usage.begin_reporting();
    let mut ticks = interval(USES_REPORTED_EVERY);
    loop {
        ticks.tick().await;
        let uses = usage.to_report(USES_REPORTED_MAX);
        if uses.is_empty() {
            continue;
        }
        if let Err(error) = remote.report_uses(uses.clone()).await {
            tracing::debug!(%error, "topics in use are reported later");
            usage.not_reported(uses);
        }
    }
}

/// `POST /v1/enrol`: the realm's own process answers.
async fn pass_on_enrolment(
    State((remote, reach)): State<(Arc<RemoteKtm>, Reach)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refused> {
    let request = read_body(request, ENROL_BODY_BYTES_MAX).await?;
    let Reach { server_url, mqtt_url, ca } = reach;
    let enrolment = Enrolment { request, from: peer.ip(), server_url, mqtt_url, ca };
    let answer = remote.enrol(enrolment).await.map_err(|error| {
        tracing::warn!(%error, "an enrolment could not be passed on");
        let detail = "the KTM of this NOS does not answer; try again in a moment";
        Refused::later(Problem::new(503, "unavailable", "Not available now", detail), Duration::from_secs(5))
    })?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok((status, [(CONTENT_TYPE, answer.content_type)], answer.body).into_response())
}
