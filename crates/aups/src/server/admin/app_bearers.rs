//! An app at `/v1/users`, with the Bearer token that it signs as any reader does: it rules the users that it registered.

use crate::server::{http::Refused, registry::Registry};
use aups_core::{Clock, Problem, ReaderKind, RealmId, Sub, limits::REQUEST_AGE_MAX};
use aups_envelope::bearer::Bearer;
use aups_nos::{Buckets, Rate, Readers as _, is_fresh};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Requests of one app.
const APP_RATE: Rate = Rate { per_second: 50, burst: 100 };
/// Those of them that may take rights away: each may replace keys that others use too, and asks every scope.
const APP_CHANGES_RATE: Rate = Rate { per_second: 1, burst: 30 };
/// Most tokens that are remembered as used; while all are younger than they must be kept, further requests are refused.
const USED_MAX: usize = 100_000;
/// How long: an `iat` may lie ahead as far as behind.
const USED_LIFE: Duration = Duration::from_secs(2 * REQUEST_AGE_MAX.as_secs() + 1);

/// Tells apps by the tokens that they sign. Each token is good for one request: it is not bound to what is asked.
pub(crate) struct AppBearers {
    registry: Arc<Registry>,
    realm: RealmId,
    clock: Arc<dyn Clock>,
    rate: Buckets<Sub>,
    changes_rate: Buckets<Sub>,
    used: Mutex<HashMap<[u8; 16], Instant>>,
}

impl AppBearers {
    pub(crate) fn new(registry: Arc<Registry>, realm: RealmId, clock: Arc<dyn Clock>) -> Self {
        Self {
            registry,
            realm,
            clock,
            rate: Buckets::new(APP_RATE),
            changes_rate: Buckets::new(APP_CHANGES_RATE),
            used: Mutex::default(),
        }
    }

    /// The app that signed this, if it does not ask too much. `None`: it is no token of an app of this realm, or too old.
    pub(super) fn check(&self, token: &str, takes_away: bool) -> Result<Option<Sub>, Refused> {
        let Ok(sub) = Bearer::peek_sub(token.as_bytes()) else { return Ok(None) };
        let Some(app) = self.registry.reader(&sub).filter(|reader| reader.principal.kind == ReaderKind::App) else {
            return Ok(None);
        };
        let Some(keys) = &app.keys else { return Ok(None) };
        let Ok(bearer) = Bearer::verify(token.as_bytes(), &keys.signing_key) else { return Ok(None) };
        if bearer.aud != self.realm || !is_fresh(bearer.iat, self.clock.now()) || app.changing {
            return Ok(None);
        }
        let rate = if takes_away { &self.changes_rate } else { &self.rate };
        rate.take(sub.clone(), 1, Instant::now()).map_err(|after| {
            let detail = "too many requests of this app; come back after as many seconds as Retry-After says";
            Refused::later(Problem::new(429, "too-many-requests", "Too many requests", detail), after)
        })?;
        self.use_up(bearer.jti, Instant::now())?;
        Ok(Some(sub))
    }

    fn use_up(&self, jti: [u8; 16], now: Instant) -> Result<(), Refused> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED_MAX {
            used.retain(|_, since| now.saturating_duration_since(*since) < USED_LIFE);
        }
        if used.len() >= USED_MAX {
            let problem =
                Problem::new(503, "unavailable", "Not available now", "too many apps at once; try again later");
            return Err(Refused::later(problem, USED_LIFE));
        }
        let again = used.insert(jti, now).is_some_and(|since| now.saturating_duration_since(since) < USED_LIFE);
        if again {
            let detail = "this token was used before; sign a new one, with a new jti, for each request";
            return Err(Problem::new(409, "request-repeated", "Request repeated", detail).into());
        }
        Ok(())
    }
}
