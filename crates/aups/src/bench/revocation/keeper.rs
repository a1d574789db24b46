//! A reader that keeps its rights throughout, with the SDK: it opens everything, whatever is taken from others.

use super::{
    stage::{KEEPER, Stage},
    watch::PATIENCE,
};
use crate::cli::failure::Failure;
use aups_client::{Event, Reader, ReaderOptions, enrol};
use aups_envelope::kem::Kem;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

/// The reader at work.
pub(super) struct Keeper {
    reading: JoinHandle<Failure>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    opened: AtomicUsize,
    more: Notify,
}

impl Keeper {
    /// Registers, connects and subscribes it.
    pub(super) async fn start(stage: &Stage) -> Result<Self, Failure> {
        let new = json!({ "sub": "keeper", "attrs": { "roles": [KEEPER] } });
        let token = stage.instance.register_reader("apps", &new).await?;
        let identity = enrol(stage.instance.url().as_str(), &token, Kem::XWing, None).await?;
        let reader = Reader::connect(identity, ReaderOptions::default()).await?;
        reader.subscribe(&[&stage.filter()]).await?;
        let progress = Arc::default();
        Ok(Self { reading: tokio::spawn(read(reader, Arc::clone(&progress))), progress })
    }

    /// Waits until it has opened so many items: how many it has. Fails if it is denied one, or none comes any more.
    pub(super) async fn until_opened(mut self, published: usize) -> Result<usize, Failure> {
        loop {
            let opened = self.progress.opened.load(Ordering::Acquire);
            if opened >= published {
                self.reading.abort();
                return Ok(opened);
            }
            tokio::select! {
                ended = &mut self.reading => return Err(match ended {
                    Ok(failure) => failure,
                    Err(error) => Failure::failed(format!("the reader that keeps its rights broke down: {error}")),
                }),
                waited = timeout(PATIENCE, self.progress.more.notified()) => if waited.is_err() {
                    return Ok(opened);
                },
            }
        }
    }
}

/// Reads until something is kept from it.
async fn read(mut reader: Reader, progress: Arc<Progress>) -> Failure {
    loop {
        match reader.next().await {
            Some(Event::Item { .. }) => {
                progress.opened.fetch_add(1, Ordering::Release);
                progress.more.notify_one();
            }
            Some(
                event @ (Event::Denied { .. } | Event::Rejected { .. } | Event::Ended(_) | Event::Unsubscribed(_)),
            ) => {
                return Failure::failed(format!("the reader that keeps its rights lost something: {event:?}"));
            }
            Some(_) => {}
            None => return Failure::failed("the reader that keeps its rights ended"),
        }
    }
}
