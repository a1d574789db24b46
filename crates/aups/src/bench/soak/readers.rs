//! Readers at work, with the SDK.

use super::{
    board::{Board, NOMAD, SOURCES, node_id},
    stage::{EVERYTHING, OUTSIDER},
};
use crate::cli::failure::Failure;
use anyhow::Context as _;
use aups_client::{Event, Identity, Reader, ReaderOptions};
use std::{
    future::pending,
    ops::Range,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

/// How long the reader that comes and goes is there.
const THERE: Duration = Duration::from_secs(7);
/// How long it is away: what is published meanwhile has to fit into its queue at the broker.
const AWAY: Duration = Duration::from_secs(4);

/// A reader of the soak.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    filters: &'static [&'static str],
    /// The sources that it may read.
    pub(super) may_read: Range<usize>,
    comes_and_goes: bool,
}

/// The place of the reader that is always there and may read everything.
pub(super) const KEEPER: usize = 0;

/// Who reads.
pub(super) const READERS: [Part; 5] = [
    Part { name: "keeper", role: EVERYTHING, filters: &["data/#"], may_read: 0..SOURCES, comes_and_goes: false },
    Part { name: "one-topic", role: "reader-1", filters: &["data/s1/#"], may_read: 1..2, comes_and_goes: false },
    Part { name: "comes-and-goes", role: EVERYTHING, filters: &["data/#"], may_read: 0..SOURCES, comes_and_goes: true },
    Part { name: "outsider-1", role: OUTSIDER, filters: &["data/#"], may_read: 0..0, comes_and_goes: false },
    Part {
        name: "outsider-2",
        role: OUTSIDER,
        filters: &["data/s0/#", "data/s3/#"],
        may_read: 0..0,
        comes_and_goes: false,
    },
];

/// All readers at work.
pub(super) struct Readers {
    at_work: JoinSet<Failure>,
    stay: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Readers {
    /// Connects and subscribes them all.
    pub(super) async fn start(identities: Vec<Identity>, board: &Arc<Board>) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("aups-").tempdir().context("cannot make a temporary directory")?;
        let (mut at_work, stay) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for ((place, part), identity) in READERS.iter().enumerate().zip(identities) {
            let board = Arc::clone(board);
            if part.comes_and_goes {
                let file = folder.path().join("identity.json");
                identity.save(&file).context("cannot write an identity")?;
                let options = ReaderOptions { state: Some(folder.path().join("state")), ..ReaderOptions::default() };
                let reader = connect(part, identity, options.clone()).await?;
                let visitor = Visitor { part, place, options, identity: file, stay: Arc::clone(&stay), board };
                at_work.spawn(async move { visitor.come_and_go(reader).await });
            } else {
                let reader = connect(part, identity, ReaderOptions::default()).await?;
                at_work.spawn(async move { read(reader, place, &board).await });
            }
        }
        Ok(Self { at_work, stay, _folder: folder })
    }

    /// Who comes and goes comes and stays.
    pub(super) fn all_stay(&self) {
        self.stay.store(true, Ordering::Relaxed);
    }

    /// Waits for a reader to end; for ever if none does.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.at_work.join_next().await {
            Some(Ok(failure)) => failure,
            broken => Failure::failed(format!("a reader broke down: {broken:?}")),
        }
    }
}

async fn connect(part: &Part, identity: Identity, options: ReaderOptions) -> Result<Reader, Failure> {
    let reader = Reader::connect(identity, options).await.with_context(|| part.name)?;
    reader.subscribe(part.filters).await.with_context(|| part.name)?;
    Ok(reader)
}

/// Reads as long as it can.
async fn read(mut reader: Reader, place: usize, board: &Board) -> Failure {
    while let Some(event) = reader.next().await {
        board.note(place, &event);
        if let Event::Ended(error) = event {
            return Failure::failed(format!("a reader ended: {error}"));
        }
    }
    ended()
}

fn ended() -> Failure {
    Failure::failed("a reader ended")
}

/// A reader that leaves and comes back.
struct Visitor {
    part: &'static Part,
    place: usize,
    options: ReaderOptions,
    identity: PathBuf,
    stay: Arc<AtomicBool>,
    board: Arc<Board>,
}

impl Visitor {
    async fn come_and_go(&self, mut reader: Reader) -> Failure {
        loop {
            if let Err(failure) = self.read_for_a_while(&mut reader).await {
                return failure;
            }
            reader.close().await;
            sleep(AWAY).await;
            reader = match self.come_back().await {
                Ok(reader) => reader,
                Err(failure) => return failure,
            };
            self.board.reader_returned(self.place);
        }
    }

    async fn come_back(&self) -> Result<Reader, Failure> {
        let identity = Identity::load(&self.identity).context("cannot read an identity")?;
        connect(self.part, identity, self.options.clone()).await
    }

    async fn read_for_a_while(&self, reader: &mut Reader) -> Result<(), Failure> {
        let mut leaves = pin!(async {
            sleep(THERE).await;
            if self.stay.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
        });
        loop {
            tokio::select! {
                () = &mut leaves => return Ok(()),
                event = reader.next() => match event {
                    Some(Event::Ended(error)) => return Err(Failure::failed(format!("a reader ended: {error}"))),
                    Some(event) => self.board.note(self.place, &event),
                    None => return Err(ended()),
                },
            }
        }
    }
}

/// The names of the sources that a reader may read, in words.
pub(super) fn in_words(may_read: &Range<usize>) -> String {
    match (may_read.start, may_read.len()) {
        (_, 0) => "nothing".to_owned(),
        (only, 1) => format!("data/{}", node_id(only)),
        (0, SOURCES) => "everything".to_owned(),
        (first, _) => format!("data/{} to data/{}", node_id(first), node_id(NOMAD.min(may_read.end - 1))),
    }
}
