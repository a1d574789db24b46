//! The question that the broker asks before anybody does anything, and how the `mqtt5` crate is made to ask it.

use bytes::Bytes;
use mqtt5::{
    broker::{AuthProvider, AuthResult, DynamicStorage, StorageBackend as _},
    packet::connect::ConnectPacket,
    types::ReasonCode,
};
use std::{fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

/// Who may connect, subscribe and publish. Asked on the broker's tasks for every packet concerned: it must answer from
/// memory, at once.
///
/// The user is the name under which a client connected; a client that gave none is refused without asking. A resumed
/// session is asked about each of its filters again. What is published in this process is not asked about.
pub trait Gate: Send + Sync + 'static {
    /// Whether these credentials may connect.
    fn connect(&self, connect: &Connect<'_>) -> Result<(), Refusal>;

    /// Whether a user may subscribe to a filter, given as the client sent it (`$share/…` included).
    fn subscribe(&self, user: &str, filter: &str) -> Verdict;

    /// Whether a user may publish on a topic, also as its will.
    fn publish(&self, user: &str, topic: &str) -> Verdict;

    /// What a user published, and may, on its way to the subscribers. `true`: it was for this process, and goes nowhere else.
    ///
    /// Wills do not come by here.
    fn take(&self, topic: &str, payload: Bytes) -> bool {
        let _ = (topic, payload);
        false
    }
}

/// What a client says of itself when it connects.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// Its client id; made up by the broker where it gave none.
    pub client_id: &'a str,
    /// Its user name.
    pub user: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a [u8]>,
    /// Where it connects from.
    pub address: SocketAddr,
}

/// Without the password.
impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, user, password, address } = self;
        let password = password.map(|_| "***");
        f.debug_struct("Connect")
            .field("client_id", client_id)
            .field("user", user)
            .field("password", &password)
            .field("address", address)
            .finish()
    }
}

/// Why a client may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It gave no user name or no password. MQTT 5 reason 0x87, MQTT 3.1.1 return code 5.
    Anonymous,
    /// Unknown user or wrong password; the client is not told which. 0x86, 4.
    BadCredentials,
    /// Known, and not allowed. 0x87, 5.
    NotAuthorised,
    /// Nothing can be decided now. 0x88, 3.
    Unavailable,
}

impl Refusal {
    const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Anonymous | Self::NotAuthorised => ReasonCode::NotAuthorized,
            Self::BadCredentials => ReasonCode::BadUsernameOrPassword,
            Self::Unavailable => ReasonCode::ServerUnavailable,
        }
    }

    const fn metric(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::BadCredentials => "credentials",
            Self::NotAuthorised => "not-authorised",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Whether a client may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not. SUBACK 0x87 (0x80 in MQTT 3.1.1); PUBACK 0x87, and nothing is routed.
    Deny,
}

/// A [`Gate`] as the `mqtt5` crate wants it.
pub(crate) struct GateKeeper {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) storage: Arc<DynamicStorage>,
}

impl GateKeeper {
    async fn admit(&self, connect: &ConnectPacket, address: SocketAddr) -> Result<String, Refusal> {
        let user = connect.username.as_deref().filter(|user| !user.is_empty()).ok_or(Refusal::Anonymous)?;
        self.gate.connect(&Connect {
            client_id: &connect.client_id,
            user: Some(user),
            password: connect.password.as_deref(),
            address,
        })?;
        // The crate keeps a session from being resumed by somebody else. That is not enough: with a clean start anybody
        // could end it who guesses its client id.
        match self.storage.get_session(&connect.client_id).await {
            Ok(Some(session)) if session.user_id.as_deref() != Some(user) => Err(Refusal::NotAuthorised),
            Ok(_) => Ok(user.to_owned()),
            Err(error) => {
                tracing::error!(%error, "the broker could not look up a session");
                Err(Refusal::Unavailable)
            }
        }
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for GateKeeper {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            Ok(match self.admit(connect, address).await {
                Ok(user) => AuthResult::success_with_user(user),
                Err(refusal) => {
                    metrics::counter!("aups_broker_connects_refused_total", "reason" => refusal.metric()).increment(1);
                    AuthResult::fail(refusal.reason_code())
                }
            })
        })
    }

    fn authorize_publish<'a>(&'a self, _client: &str, user: Option<&'a str>, topic: &'a str) -> Answer<'a, bool> {
        let allowed = user.is_some_and(|user| self.gate.publish(user, topic) == Verdict::Allow);
        if !allowed {
            metrics::counter!("aups_broker_publishes_refused_total").increment(1);
        }
        Box::pin(std::future::ready(allowed))
    }

    fn authorize_subscribe<'a>(&'a self, _client: &str, user: Option<&'a str>, filter: &'a str) -> Answer<'a, bool> {
        let allowed = user.is_some_and(|user| self.gate.subscribe(user, filter) == Verdict::Allow);
        if !allowed {
            metrics::counter!("aups_broker_subscribes_refused_total").increment(1);
        }
        Box::pin(std::future::ready(allowed))
    }
}
