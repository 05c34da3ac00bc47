//! One dialled connection to one peer, kept up by its own task.
//!
//! Connects when there is something to send, reconnects with backoff, fails
//! fast while the peer is known to be down. Requests are pipelined and
//! answered by id; a burst of frames goes out in one write. A connection on
//! which answers are awaited but nothing is heard is pinged, then dropped:
//! a dead peer never holds a request longer than `Timing::dead_after`.
//!
//! Bounds: the queue waits when full; unanswered requests above the limit are
//! refused as not sent. What was handed to a connection that then broke is
//! reported as lost, because the peer may have acted on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::frame::{Frame, FrameReader, HEADER_BYTES, Kind, OutFrame};
use super::handshake::{HandshakeError, Hello, Reason, greet};
use super::peers::Shared;
use super::silence::{Silence, Verdict};
use super::vectored::FrameWriter;
use super::{Class, Connection, address_of};
use crate::types::TypeConfig;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// It never left this member.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have reached the peer.
    #[error("connection lost: {0}")]
    Lost(String),
}

/// A handle to the connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    queue: mpsc::Sender<Outgoing>,
    next_id: Arc<AtomicU64>,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Link {
    /// Spawns the task; it connects on first use.
    pub(super) fn spawn(shared: Arc<Shared>, peer: u64, class: Class, urls: Vec<String>) -> Self {
        let (queue, incoming) = mpsc::channel(QUEUE_FRAMES_MAX);
        let urls = Arc::new(Mutex::new(urls));
        let task = Task {
            shared,
            peer,
            class,
            urls: Arc::clone(&urls),
            incoming,
            pending: Mutex::new(HashMap::new()),
            failures: 0,
        };
        tokio::spawn(task.run());
        Self {
            queue,
            next_id: Arc::new(AtomicU64::new(1)),
            urls,
        }
    }

    /// Replaces the addresses; used at the next connect.
    pub(super) fn set_urls(&self, urls: &[String]) {
        let mut current = self.urls.lock();
        if *current != urls {
            *current = urls.to_vec();
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(
        &self,
        kind: Kind,
        head: impl Into<Bytes>,
        body: Vec<Bytes>,
    ) -> Result<Frame, LinkError> {
        let (sender, answer) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = OutFrame::new(kind, id, head).with_body(body);
        self.push(Outgoing {
            frame,
            waiter: Some(Waiter::Once(sender)),
        })
        .await?;
        answer
            .await
            .unwrap_or_else(|_| Err(LinkError::Lost("link closed".into())))
    }

    /// Opens a stream whose answers are queued up to `answers_max`.
    pub(crate) fn stream(&self, answers_max: usize) -> (Stream, mpsc::Receiver<Answer>) {
        let (sender, answers) = mpsc::channel(answers_max);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        (
            Stream {
                link: self.clone(),
                id,
                opener: Some(sender),
            },
            answers,
        )
    }

    async fn push(&self, outgoing: Outgoing) -> Result<(), LinkError> {
        let sent = self.queue.send(outgoing).await;
        sent.map_err(|_| LinkError::NotSent("link closed".into()))
    }
}

/// An answer, or why none will come.
pub(crate) type Answer = Result<Frame, LinkError>;

/// The sending half of a stream: frames that share an id.
#[derive(Debug)]
pub(crate) struct Stream {
    link: Link,
    id: u64,
    opener: Option<mpsc::Sender<Answer>>,
}

impl Stream {
    /// Queues the next frame.
    pub(crate) async fn send(
        &mut self,
        kind: Kind,
        head: impl Into<Bytes>,
        body: Vec<Bytes>,
    ) -> Result<(), LinkError> {
        let frame = OutFrame::new(kind, self.id, head).with_body(body);
        let waiter = Some(match self.opener.take() {
            Some(answers) => Waiter::Stream(answers),
            None => Waiter::Open,
        });
        self.link.push(Outgoing { frame, waiter }).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.opener.is_none() {
            // Tells the peer to stop; when the queue is full it finds out by
            // the answers being ignored.
            let frame = OutFrame::new(Kind::StreamEnd, self.id, Bytes::new());
            let _ = self.link.queue.try_send(Outgoing {
                frame,
                waiter: Some(Waiter::Close),
            });
        }
    }
}

#[derive(Debug)]
struct Outgoing {
    frame: OutFrame,
    waiter: Option<Waiter>,
}

#[derive(Debug)]
enum Waiter {
    /// One answer.
    Once(oneshot::Sender<Answer>),
    /// Opens a stream.
    Stream(mpsc::Sender<Answer>),
    /// Goes on with an open stream.
    Open,
    /// Ends a stream.
    Close,
}

impl Waiter {
    fn fail(self, error: LinkError) {
        match self {
            Self::Once(sender) => drop(sender.send(Err(error))),
            Self::Stream(sender) => drop(sender.try_send(Err(error))),
            Self::Open | Self::Close => {}
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Once(sender) => sender.is_closed(),
            Self::Stream(sender) => sender.is_closed(),
            Self::Open | Self::Close => true,
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    peer: u64,
    class: Class,
    urls: Arc<Mutex<Vec<String>>>,
    incoming: mpsc::Receiver<Outgoing>,
    pending: Mutex<HashMap<u64, Waiter>>,
    failures: u32,
}

impl Task {
    async fn run(mut self) {
        let mut down: Option<(openraft::alias::InstantOf<TypeConfig>, String)> = None;
        while let Some(first) = self.incoming.recv().await {
            if let Some((until, reason)) = &down
                && TypeConfig::now() < *until
            {
                refuse(first, reason);
                continue;
            }
            match self.connect().await {
                Ok((reader, writer)) => {
                    self.failures = 0;
                    down = None;
                    let reason = self.serve(reader, writer, first).await;
                    self.shared.metrics.peer_failures.add(1);
                    let class = self.class;
                    tracing::debug!(peer = self.peer, ?class, reason, "peer link broke");
                    for (_, waiter) in self.pending.get_mut().drain() {
                        waiter.fail(LinkError::Lost(reason.clone()));
                    }
                }
                Err(reason) => {
                    self.shared.metrics.peer_failures.add(1);
                    refuse(first, &reason);
                    down = Some((TypeConfig::now() + self.backoff(), reason));
                }
            }
        }
    }

    fn backoff(&mut self) -> Duration {
        let wait = BACKOFF_MIN * 2_u32.saturating_pow(self.failures.min(8));
        self.failures += 1;
        wait.min(BACKOFF_MAX)
    }

    async fn connect(&self) -> Result<(Reader, Writer), String> {
        let urls = self.urls.lock().clone();
        let mut reason = format!("member {:x} has no address", self.peer);
        for url in &urls {
            let dial = self.shared.transport.connect(address_of(url));
            let attempt = async {
                let connection = dial.await.map_err(|e| format!("connect to {url}: {e}"))?;
                self.greet(connection)
                    .await
                    .map_err(|e| format!("{url}: {e}"))
            };
            let limit = self.shared.timing.connect_timeout;
            match TypeConfig::timeout(limit, attempt).await {
                Ok(Ok(pair)) => return Ok(pair),
                Ok(Err(error)) => reason = error,
                Err(_) => reason = format!("connect to {url}: no answer within {limit:?}"),
            }
        }
        Err(reason)
    }

    async fn greet(&self, connection: Connection) -> Result<(Reader, Writer), String> {
        let mut reader = FrameReader::new(connection.reader, self.shared.pool.clone());
        let mut writer = FrameWriter::new(connection.writer, Arc::clone(&self.shared.metrics));
        let hello = Hello {
            class: self.class,
            from: self.shared.own,
            to: self.peer,
        };
        match greet(&mut reader, &mut writer, &hello).await {
            Ok(()) => Ok((reader, writer)),
            Err(HandshakeError::Broken(error)) => Err(error),
            Err(HandshakeError::Asked) => Err("asked for the members".into()),
            Err(HandshakeError::Refused(refusal)) => {
                if self.failures == 0 {
                    tracing::error!(peer = self.peer, reason = %refusal, "peer refused us");
                }
                if refusal.reason == Reason::Removed {
                    (self.shared.on_removed)();
                }
                Err(format!("refused: {refusal}"))
            }
        }
    }

    /// Works the connection until it breaks; returns why.
    async fn serve(&mut self, mut reader: Reader, mut writer: Writer, first: Outgoing) -> String {
        let heard = AtomicU64::new(0);
        let ping = Notify::new();
        let Self {
            shared,
            pending,
            incoming,
            ..
        } = self;
        tokio::select! {
            reason = write_loop(incoming, &mut writer, pending, &ping, first) => reason,
            reason = read_loop(shared, &mut reader, pending, &heard) => reason,
            reason = watch_loop(shared, pending, &heard, &ping) => reason,
        }
    }
}

async fn write_loop(
    incoming: &mut mpsc::Receiver<Outgoing>,
    writer: &mut Writer,
    pending: &Mutex<HashMap<u64, Waiter>>,
    ping: &Notify,
    first: Outgoing,
) -> String {
    let mut batch = vec![first];
    let mut frames = Vec::new();
    loop {
        {
            let mut pending = pending.lock();
            for outgoing in batch.drain(..) {
                frames.extend(admit(&mut pending, outgoing));
            }
        }
        if let Err(error) = writer.write(&frames).await {
            return error.to_string();
        }
        frames.clear();
        tokio::select! {
            biased;
            count = incoming.recv_many(&mut batch, WRITE_FRAMES_MAX) => {
                if count == 0 {
                    return "no longer needed".into();
                }
            }
            () = ping.notified() => frames.push(OutFrame::new(Kind::Ping, 0, Bytes::new())),
        }
    }
}

/// Registers who waits for the answer; `None` when the frame must not go out.
fn admit(pending: &mut HashMap<u64, Waiter>, outgoing: Outgoing) -> Option<OutFrame> {
    let Outgoing { frame, waiter } = outgoing;
    match waiter {
        Some(Waiter::Open) if !pending.contains_key(&frame.id) => return None,
        Some(Waiter::Close) => {
            // Sent even if nobody waits any more: the peer keeps the stream
            // open until it is told.
            pending.remove(&frame.id);
        }
        None | Some(Waiter::Open) => {}
        Some(waiter) if waiter.is_gone() => return None,
        Some(waiter) if pending.len() >= PENDING_MAX => {
            waiter.fail(LinkError::NotSent("too many unanswered requests".into()));
            return None;
        }
        Some(waiter) => {
            pending.insert(frame.id, waiter);
        }
    }
    Some(frame)
}

async fn read_loop(
    shared: &Shared,
    reader: &mut Reader,
    pending: &Mutex<HashMap<u64, Waiter>>,
    heard: &AtomicU64,
) -> String {
    loop {
        let frame = match reader.next().await {
            Ok(frame) => frame,
            Err(error) => return error.to_string(),
        };
        heard.fetch_add(1, Ordering::Relaxed);
        shared.metrics.peer_received_frames.add(1);
        shared
            .metrics
            .peer_received_bytes
            .add((HEADER_BYTES + frame.payload.len()) as u64);
        if frame.kind == Kind::Pong {
            continue;
        }
        let mut pending = pending.lock();
        match pending.remove(&frame.id) {
            Some(Waiter::Once(sender)) => drop(sender.send(Ok(frame))),
            Some(Waiter::Stream(sender)) => {
                let (id, last) = (frame.id, frame.kind == Kind::StreamEnd);
                if sender.try_send(Ok(frame)).is_ok() && !last {
                    pending.insert(id, Waiter::Stream(sender));
                }
            }
            Some(Waiter::Open | Waiter::Close) | None => {}
        }
    }
}

/// Pings when answers are due and nothing is heard; gives up after a while.
async fn watch_loop(
    shared: &Shared,
    pending: &Mutex<HashMap<u64, Waiter>>,
    heard: &AtomicU64,
    ping: &Notify,
) -> String {
    let timing = &shared.timing;
    let (mut last, mut silence) = (heard.load(Ordering::Relaxed), Silence::default());
    loop {
        TypeConfig::sleep(timing.ping_interval).await;
        let now = heard.load(Ordering::Relaxed);
        let is_due = {
            let mut pending = pending.lock();
            pending.retain(|_, waiter| !waiter.is_gone());
            !pending.is_empty()
        };
        match silence.look(timing, now != last, is_due) {
            Verdict::Fine => {}
            Verdict::Ping => ping.notify_one(),
            Verdict::Dead(silent) => return format!("nothing heard for {silent:?}"),
        }
        last = now;
    }
}

fn refuse(outgoing: Outgoing, reason: &str) {
    if let Some(waiter) = outgoing.waiter {
        waiter.fail(LinkError::NotSent(reason.to_owned()));
    }
}

type Reader = FrameReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>;
type Writer = FrameWriter<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>;

/// Frames queued per connection; senders wait above it.
const QUEUE_FRAMES_MAX: usize = 1024;
/// Frames per write: keeps one write below the slices Linux takes at once in
/// the usual case.
const WRITE_FRAMES_MAX: usize = 128;
/// Unanswered requests per connection; more are refused as not sent.
const PENDING_MAX: usize = 16 << 10;
/// First wait after a failed connect.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// Longest wait between two attempts: below the longest pause of replication, so
/// that each of its attempts dials, and a member that comes up is found by the next.
const BACKOFF_MAX: Duration = Duration::from_millis(100);
