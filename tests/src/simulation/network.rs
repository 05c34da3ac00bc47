//! The network between simulated members.
//!
//! Every chunk that a member writes to a connection takes its own time, in order
//! within the connection, as over TCP; a lost packet is one that comes late. A link
//! is one direction between two members: cut, it holds everything back, new
//! connections too. Nothing moves by itself: [`Network::deliver`] is told the time.
//!
//! Wakers and channels are used only after the lock is released, because what they
//! set free may come back here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quoin_raft::transport::{Connection, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

use super::random::{Random, mix};
use super::record::Record;

/// How fast and how reliable the links are.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// A chunk takes from one to so many milliseconds.
    pub latency_max: u64,
    /// Of 1000 chunks so many are lost once and sent again.
    pub lost: u64,
    /// Milliseconds until a lost chunk is sent again.
    pub resend_after: u64,
}

/// The network; clones share it.
#[derive(Clone, Debug)]
pub struct Network(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    record: Record,
    random: Random,
    weather: Weather,
    pipes: BTreeMap<u64, Pipe>,
    next_pipe: u64,
    dials: Vec<Dial>,
    hosts: BTreeMap<u64, mpsc::UnboundedSender<Connection>>,
    /// Directions that are cut, by sender and receiver.
    cut: BTreeSet<(u64, u64)>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    from: u64,
    to: u64,
    /// What is under way, with the time of its arrival.
    flight: VecDeque<(u64, Bytes)>,
    arrived: VecDeque<Bytes>,
    /// Bytes under way or arrived and not read.
    held: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    is_write_closed: bool,
    is_read_closed: bool,
    /// The connection broke.
    is_reset: bool,
    /// One end lost power: nobody is told.
    is_frozen: bool,
}

#[derive(Debug)]
struct Dial {
    from: u64,
    to: u64,
    at: u64,
    reply: oneshot::Sender<io::Result<Connection>>,
}

/// What is done once the lock is released.
#[derive(Default)]
struct Later {
    wakers: Vec<Waker>,
    /// Whom to tell, who dialled, and the pipes there and back.
    opened: Vec<(mpsc::UnboundedSender<Connection>, Dial, u64, u64)>,
    refused: Vec<Dial>,
}

impl Later {
    fn run(self, network: &Network) {
        for waker in self.wakers {
            waker.wake();
        }
        for (host, dial, there, back) in self.opened {
            let near = network.connection(back, there, dial.to);
            let far = network.connection(there, back, dial.from);
            let answer = match host.send(far) {
                Ok(()) => Ok(near),
                Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            };
            let _ = dial.reply.send(answer);
        }
        for dial in self.refused {
            let _ = dial
                .reply
                .send(Err(io::ErrorKind::ConnectionRefused.into()));
        }
    }
}

impl Network {
    /// A network without members.
    #[must_use]
    pub fn new(record: Record, random: Random, weather: Weather) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            record,
            random,
            weather,
            pipes: BTreeMap::new(),
            next_pipe: 0,
            dials: Vec::new(),
            hosts: BTreeMap::new(),
            cut: BTreeSet::new(),
        })))
    }

    /// Where member `id` listens.
    #[must_use]
    pub fn address(id: u64) -> String {
        format!("m{id}:1")
    }

    /// A member comes up. Peers that still think it is connected learn better.
    pub(super) fn join(&self, id: u64) -> Access {
        let (sender, incoming) = mpsc::unbounded_channel();
        let mut later = Later::default();
        {
            let mut inner = self.0.lock();
            inner.hosts.insert(id, sender);
            inner.break_pipes(&mut later, |pipe| {
                pipe.is_frozen && (pipe.from == id || pipe.to == id)
            });
        }
        later.run(self);
        Access {
            network: self.clone(),
            id,
            incoming: tokio::sync::Mutex::new(incoming),
        }
    }

    /// A member is gone: without a trace, or with its connections reset.
    pub(super) fn leave(&self, id: u64, is_silent: bool) {
        let mut later = Later::default();
        {
            let mut inner = self.0.lock();
            inner.hosts.remove(&id);
            if is_silent {
                for pipe in inner.pipes.values_mut() {
                    pipe.is_frozen |= pipe.from == id || pipe.to == id;
                }
            } else {
                inner.break_pipes(&mut later, |pipe| pipe.from == id || pipe.to == id);
            }
        }
        later.run(self);
    }

    /// Breaks connections between two members, as a whole or in the middle of a
    /// chunk.
    pub(super) fn reset(&self, one: u64, other: u64) {
        let mut later = Later::default();
        {
            let mut inner = self.0.lock();
            let mut random = inner.random.fork();
            for pipe in inner.pipes.values_mut() {
                let is_between =
                    (pipe.from, pipe.to) == (one, other) || (pipe.from, pipe.to) == (other, one);
                if is_between && let Some((_, chunk)) = pipe.flight.front() {
                    let part = usize::try_from(random.below(chunk.len() as u64)).unwrap_or(0);
                    pipe.arrived.push_back(chunk.slice(..part));
                }
            }
            inner.break_pipes(&mut later, |pipe| {
                (pipe.from, pipe.to) == (one, other) || (pipe.from, pipe.to) == (other, one)
            });
        }
        later.run(self);
    }

    /// Cuts exactly these directions.
    pub(super) fn set_cut(&self, cut: BTreeSet<(u64, u64)>) {
        self.0.lock().cut = cut;
    }

    /// Changes the weather.
    pub(super) fn set_weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    fn connection(&self, read: u64, write: u64, other: u64) -> Connection {
        let network = self.clone();
        let reader = Reader {
            network,
            pipe: read,
        };
        let network = self.clone();
        Connection {
            reader: Box::new(reader),
            writer: Box::new(Writer {
                network,
                pipe: write,
            }),
            address: Self::address(other),
        }
    }

    /// Lets arrive what is due at `now`.
    pub(super) fn deliver(&self, now: u64) {
        let mut later = Later::default();
        self.0.lock().deliver(now, &mut later);
        later.run(self);
    }
}

impl Inner {
    fn latency(&mut self) -> u64 {
        let base = self.random.between(1, self.weather.latency_max);
        if self.random.chance(self.weather.lost) {
            base + self.weather.resend_after
        } else {
            base
        }
    }

    fn break_pipes(&mut self, later: &mut Later, is_meant: impl Fn(&Pipe) -> bool) {
        for pipe in self.pipes.values_mut().filter(|pipe| is_meant(pipe)) {
            pipe.is_reset = true;
            pipe.flight.clear();
            later.wakers.extend(pipe.reader.take());
            later.wakers.extend(pipe.writer.take());
        }
    }

    fn deliver(&mut self, now: u64, later: &mut Later) {
        let (record, cut) = (self.record.clone(), self.cut.clone());
        for (id, pipe) in &mut self.pipes {
            if pipe.is_frozen || pipe.is_reset || cut.contains(&(pipe.from, pipe.to)) {
                continue;
            }
            while let Some((at, _)) = pipe.flight.front()
                && *at <= now
                && let Some((_, chunk)) = pipe.flight.pop_front()
            {
                let content = mix(u64::from(crc32fast::hash(&chunk)));
                record.note(
                    "arrive",
                    &[*id, pipe.from, pipe.to, chunk.len() as u64, content],
                );
                pipe.arrived.push_back(chunk);
                later.wakers.extend(pipe.reader.take());
            }
            if pipe.is_write_closed && pipe.flight.is_empty() {
                later.wakers.extend(pipe.reader.take());
            }
        }
        let (due, waiting) = std::mem::take(&mut self.dials)
            .into_iter()
            .partition(|dial| {
                let is_open =
                    !cut.contains(&(dial.from, dial.to)) && !cut.contains(&(dial.to, dial.from));
                dial.at <= now && is_open
            });
        self.dials = waiting;
        let due: Vec<Dial> = due;
        for dial in due {
            match self.hosts.get(&dial.to).cloned() {
                Some(host) => self.open(dial, host, later),
                None => later.refused.push(dial),
            }
        }
    }

    fn open(&mut self, dial: Dial, host: mpsc::UnboundedSender<Connection>, later: &mut Later) {
        let (there, back) = (self.next_pipe, self.next_pipe + 1);
        self.next_pipe += 2;
        let pipe = |from, to| Pipe {
            from,
            to,
            ..Pipe::default()
        };
        self.pipes.insert(there, pipe(dial.from, dial.to));
        self.pipes.insert(back, pipe(dial.to, dial.from));
        self.record.note("connect", &[there, dial.from, dial.to]);
        later.opened.push((host, dial, there, back));
    }

    fn forget_if_closed(&mut self, id: u64) {
        let is_over = |pipe: &Pipe| pipe.is_read_closed && pipe.is_write_closed;
        if self.pipes.get(&id).is_some_and(is_over) {
            self.pipes.remove(&id);
        }
    }
}

/// One member's access to the network.
#[derive(Debug)]
pub(super) struct Access {
    network: Network,
    id: u64,
    incoming: tokio::sync::Mutex<mpsc::UnboundedReceiver<Connection>>,
}

impl Transport for Access {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let to = address
            .strip_prefix('m')
            .and_then(|rest| rest.split(':').next());
        let to = to.and_then(|id| id.parse().ok()).unwrap_or(0);
        let (reply, connected) = oneshot::channel();
        let mut inner = self.network.0.lock();
        let at = inner.record.now() + inner.latency() + inner.latency();
        inner.dials.push(Dial {
            from: self.id,
            to,
            at,
            reply,
        });
        drop(inner);
        async move {
            let lost = |_| io::Error::from(io::ErrorKind::NetworkUnreachable);
            connected.await.map_err(lost)?
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Connection>> {
        async move {
            let next = self.incoming.lock().await.recv().await;
            next.ok_or_else(|| io::ErrorKind::NotConnected.into())
        }
        .boxed()
    }
}

struct Reader {
    network: Network,
    pipe: u64,
}

struct Writer {
    network: Network,
    pipe: u64,
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.network.0.lock();
        let Some(pipe) = inner.pipes.get_mut(&self.pipe) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let before = buffer.filled().len();
        while buffer.remaining() > 0
            && let Some(chunk) = pipe.arrived.front_mut()
        {
            let part = chunk.split_to(chunk.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            pipe.held = pipe.held.saturating_sub(part.len());
            if chunk.is_empty() {
                pipe.arrived.pop_front();
            }
        }
        if buffer.filled().len() > before {
            let waker = pipe.writer.take();
            drop(inner);
            waker.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        if pipe.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.is_write_closed && pipe.flight.is_empty() && !pipe.is_frozen {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.network.0.lock();
        let latency = inner.latency();
        let at = inner.record.now() + latency;
        let Some(pipe) = inner.pipes.get_mut(&self.pipe) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if pipe.is_reset || (pipe.is_read_closed && !pipe.is_frozen) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = PIPE_BYTES.saturating_sub(pipe.held).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let at = at.max(pipe.flight.back().map_or(0, |(last, _)| *last));
        let chunk = Bytes::copy_from_slice(bytes.get(..room).unwrap_or_default());
        pipe.flight.push_back((at, chunk));
        pipe.held += room;
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pipe) = self.network.0.lock().pipes.get_mut(&self.pipe) {
            pipe.is_write_closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.network.0.lock();
        let waker = inner.pipes.get_mut(&self.pipe).and_then(|pipe| {
            pipe.is_read_closed = true;
            pipe.writer.take()
        });
        inner.forget_if_closed(self.pipe);
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut inner = self.network.0.lock();
        if let Some(pipe) = inner.pipes.get_mut(&self.pipe) {
            pipe.is_write_closed = true;
        }
        inner.forget_if_closed(self.pipe);
    }
}

/// Bytes under way per direction, about a socket buffer.
const PIPE_BYTES: usize = 64 << 10;
