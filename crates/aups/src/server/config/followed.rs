//! The configuration as a NOS that runs apart has it: the newest that its realm's own process told and it could read.

use super::{ACTIVE_KEY, ConfigAdminError, Followed, admit, admit_config, inadmissible, show};
use crate::server::versions::{VersionsError, parse};
use aups_nos::{ActiveConfig, Config, ConfigInForce};
use aups_store::{Expect, Store, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// Where a NOS keeps the record that it works by: it may start while its KTM is away.
const LAST_KEY: &str = "nos/config";

/// What a NOS follows.
#[derive(Debug)]
pub(in crate::server) struct FollowedConfig {
    store: Arc<dyn Store>,
    /// In force while nothing was administered.
    initial: Config,
    in_force: watch::Sender<Arc<ActiveConfig>>,
}

impl FollowedConfig {
    /// The last configuration that this NOS worked by; before there was any, `initial`.
    pub(in crate::server) async fn open(store: Arc<dyn Store>, initial: Config) -> Result<Self, ConfigAdminError> {
        let active = match store.get(LAST_KEY).await.map_err(VersionsError::Store)? {
            None => admit_config(0, initial.clone()).await?.1,
            Some(last) => read(LAST_KEY, &last.value).await?,
        };
        show(&active);
        let (in_force, _) = watch::channel(Arc::new(active));
        Ok(Self { store, initial, in_force })
    }

    /// The configuration in force, and every later one.
    pub(in crate::server) fn in_force(&self) -> ConfigInForce {
        self.in_force.subscribe()
    }

    /// Works by what the realm's own process says from now on; `None`: nothing was administered. What this NOS cannot read
    /// or keep changes nothing, and is said loudly: its administrator sees it in the log and in `aups_config_version`.
    pub(in crate::server) async fn take(&self, record: Option<Bytes>) {
        let read = match &record {
            None => admit_config(0, self.initial.clone()).await.map(|(_, active)| active),
            Some(record) => read(ACTIVE_KEY, record).await,
        };
        let active = match read {
            Ok(active) => active,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    working_by = self.in_force.borrow().version,
                    "this NOS cannot use the configuration of its realm and goes on with the one before; is its program older \
                     than the KTM's?"
                );
                return;
            }
        };
        if active.version == self.in_force.borrow().version && active.config == self.in_force.borrow().config {
            return;
        }
        if let Err(error) = self.keep(record).await {
            tracing::error!(%error, "the configuration could not be kept: a start without the KTM uses an older one");
        }
        tracing::info!(version = active.version, "configuration in force");
        show(&active);
        self.in_force.send_replace(Arc::new(active));
    }

    async fn keep(&self, record: Option<Bytes>) -> Result<(), StoreError> {
        match record {
            Some(record) => self.store.put_if(LAST_KEY, record, Expect::Any).await.map(drop),
            None => self.store.delete_if(LAST_KEY, Expect::Any).await.map(drop),
        }
    }
}

async fn read(key: &str, record: &[u8]) -> Result<ActiveConfig, ConfigAdminError> {
    let Followed { version, config } = parse(key, record)?;
    let (_, active) = admit(version, config.get().to_owned()).await.map_err(|error| inadmissible(version, error))?;
    Ok(active)
}
