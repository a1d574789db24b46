//! What happens on a connection, as far as it says whether its peer is at fault: whether a request is being answered, since when
//! one is awaited, and since when nothing of an answer could be written.

use super::{HEAD_MAX, IDLE_MAX, STALLED_MAX};
use aups_net::Stream;
use axum::body::{Body, Bytes, HttpBody};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How a connection in HTTP/2 begins (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request takes too long.
    Head,
    /// No request comes.
    Idle,
    /// Nobody reads the answer.
    Stalled,
}

impl Overdue {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Head => "head-slow",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

/// One connection's. Times are milliseconds since it began; each is written by one side at a time, and a look that comes between
/// two writes is repeated soon.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Since when none is, or since when the head of one comes.
    waiting_since: AtomicU64,
    /// A head comes. In HTTP/2 that is not to be seen from here: there a connection is idle until its request is whole.
    head: AtomicBool,
    http2: AtomicBool,
    /// Since when nothing could be written; 0: it can.
    stalled_since: AtomicU64,
    /// In HTTP/2, where a peer may take nothing of one answer and go on reading others: since when nothing of each was taken.
    untaken_since: Mutex<Vec<Weak<AtomicU64>>>,
}

/// Of an answer that waits for its server and not for its peer.
const NOT_WAITING: u64 = u64::MAX;

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicUsize::new(0),
            waiting_since: AtomicU64::new(0),
            // The first head is due at once.
            head: AtomicBool::new(true),
            http2: AtomicBool::new(false),
            stalled_since: AtomicU64::new(0),
            untaken_since: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A request is whole but for its body. Answered when what this returns is dropped.
    pub(super) fn request(activity: &Arc<Self>) -> Answering {
        activity.requests.fetch_add(1, Relaxed);
        activity.head.store(false, Relaxed);
        Answering(Arc::clone(activity))
    }

    fn answered(&self) {
        self.waiting_since.store(self.now(), Relaxed);
        self.requests.fetch_sub(1, Relaxed);
    }

    fn read(&self, bytes: &[u8]) {
        if self.requests.load(Relaxed) > 0 || bytes.is_empty() {
            return;
        }
        if self.waiting_since.load(Relaxed) == 0 && bytes.starts_with(HTTP2_PREFACE) {
            self.http2.store(true, Relaxed);
        }
        if !self.head.swap(true, Relaxed) {
            self.waiting_since.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, done: bool) {
        let stalled = self.stalled_since.load(Relaxed);
        if done && stalled != 0 {
            self.stalled_since.store(0, Relaxed);
        } else if !done && stalled == 0 {
            self.stalled_since.store(self.now().max(1), Relaxed);
        }
    }

    /// Begins to note since when nothing of an answer was taken.
    fn note_answer(&self) -> Option<Arc<AtomicU64>> {
        self.http2.load(Relaxed).then(|| {
            let since = Arc::new(AtomicU64::new(self.now()));
            let mut all = self.untaken_since.lock().unwrap_or_else(PoisonError::into_inner);
            // Never more than there are streams at a time.
            all.retain(|since| since.strong_count() > 0);
            all.push(Arc::downgrade(&since));
            since
        })
    }

    /// Since when nothing was taken of the answer that waits longest; [`NOT_WAITING`] if none waits.
    fn longest_untaken(&self) -> u64 {
        let all = self.untaken_since.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).map(|since| since.load(Relaxed)).min().unwrap_or(NOT_WAITING)
    }

    /// Whether the peer has taken too long, and for what.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let now = self.now();
        let longer = |since: u64, max: Duration| u128::from(now.saturating_sub(since)) > max.as_millis();
        let (stalled, waiting) = (self.stalled_since.load(Relaxed), self.waiting_since.load(Relaxed));
        if (stalled != 0 && longer(stalled, STALLED_MAX)) || longer(self.longest_untaken(), STALLED_MAX) {
            Some(Overdue::Stalled)
        } else if self.requests.load(Relaxed) > 0 {
            None
        } else if self.head.load(Relaxed) && !self.http2.load(Relaxed) {
            longer(waiting, HEAD_MAX).then_some(Overdue::Head)
        } else {
            longer(waiting, IDLE_MAX).then_some(Overdue::Idle)
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// The body of an answer; when it is gone, the request is answered.
#[derive(Debug)]
pub(super) struct UntilSent {
    body: Body,
    untaken_since: Option<Arc<AtomicU64>>,
    answering: Answering,
}

impl UntilSent {
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self { body, untaken_since: answering.0.note_answer(), answering }
    }
}

impl HttpBody for UntilSent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // The next frame is asked for once the one before was taken.
        if let Some(since) = &self.untaken_since {
            since.store(if frame.is_pending() { NOT_WAITING } else { self.answering.0.now() }, Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose reads and writes are noted.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) const fn new(stream: Stream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.activity.read(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.wrote(wrote.is_ready());
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.activity.wrote(wrote.is_ready());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.activity.wrote(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
