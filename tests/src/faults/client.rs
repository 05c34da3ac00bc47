//! One client: asks one thing after the other, of one member after the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quoin_proto::etcdserverpb::{RangeRequest, kv_client::KvClient};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};

use super::{
    addresses::Addresses,
    recorder::{Asked, Recorder},
    wire,
};
use crate::{
    checker::operation::{Answer, Key, Pair},
    cluster,
};

/// How long an answer may take: longer than an election, so that most outcomes
/// become known.
const CALL_DEADLINE: Duration = Duration::from_secs(4);

/// Longest pause between two calls of a client.
const PAUSE_MAX: Duration = Duration::from_millis(8);

/// What all clients of a round share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The history.
    pub recorder: Arc<Recorder>,
    /// Where the members serve clients.
    pub addresses: Addresses,
    /// Keys are 0 to this, less one.
    pub keys_count: Key,
    /// Set at the end of the round.
    pub stop: Arc<AtomicBool>,
}

/// Asks until the round ends.
pub async fn run(client: u32, shared: Shared, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ u64::from(client).rotate_left(32));
    let mut caller = Caller {
        client,
        channels: HashMap::new(),
        member: client as usize,
        known: BTreeMap::new(),
        shared,
    };
    while !caller.shared.stop.load(Ordering::Relaxed) {
        caller.ask_something(&mut random).await;
        let pause = random.random_range(Duration::ZERO..PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }
}

struct Caller {
    client: u32,
    /// Connections made so far, by URL.
    channels: HashMap<String, Channel>,
    /// Position of the member that is asked next.
    member: usize,
    /// Modification revisions last seen, for conditions that may hold.
    known: BTreeMap<Key, i64>,
    shared: Shared,
}

impl Caller {
    async fn ask_something(&mut self, random: &mut impl Rng) {
        let kind = random.random_range(0..100);
        let mut asked = Asked::default();
        match kind {
            0..20 => asked.reads = self.keys(random, 1),
            20..30 => return self.read_all(random.random_bool(0.5)).await,
            30..65 => asked.changes = self.changes(random, 1),
            65..80 => {
                asked.changes = self.changes(random, 1);
                asked.reads = asked.changes.iter().map(|(key, _)| *key).collect();
            }
            _ => {
                asked.changes = self.changes(random, 3);
                asked.reads = self.keys(random, 2);
                let condition =
                    |(key, _): &(Key, _)| (*key, self.known.get(key).copied().unwrap_or(0));
                asked.conditions = asked.changes.iter().take(2).map(condition).collect();
            }
        }
        self.transact(asked).await;
    }

    fn keys(&self, random: &mut impl Rng, count_max: usize) -> Vec<Key> {
        let count = random.random_range(1..=count_max);
        let keys = (0..count).map(|_| random.random_range(0..self.shared.keys_count));
        let keys: BTreeSet<Key> = keys.collect();
        keys.into_iter().collect()
    }

    /// Puts, and now and then a deletion, of different keys.
    fn changes(&self, random: &mut impl Rng, count_max: usize) -> Vec<(Key, Option<u64>)> {
        let keys = self.keys(random, count_max);
        let mut change = |key| {
            let is_put = random.random_bool(0.8);
            (key, is_put.then(|| self.shared.recorder.new_value()))
        };
        keys.into_iter().map(&mut change).collect()
    }

    fn kv(&mut self) -> Option<KvClient<Channel>> {
        let url = self.shared.addresses.url(self.member);
        if !self.channels.contains_key(&url) {
            let channel = cluster::channel(&url).ok()?;
            self.channels.insert(url.clone(), channel);
        }
        self.channels.get(&url).cloned().map(KvClient::new)
    }

    async fn transact(&mut self, asked: Asked) {
        let Some(mut kv) = self.kv() else { return };
        let called = self.shared.recorder.now();
        let ended = transact(&mut kv, &asked).await;
        self.note(called, asked, ended);
    }

    /// Reads all keys at one revision.
    async fn read_all(&mut self, is_serializable: bool) {
        let Some(mut kv) = self.kv() else { return };
        let called = self.shared.recorder.now();
        let answer = read_all(&mut kv, self.shared.keys_count, is_serializable).await;
        let ended = answer.map_or(Ended::Open, Ended::Answered);
        self.note(called, Asked::default(), ended);
    }

    fn note(&mut self, called: u64, asked: Asked, ended: Ended) {
        match &ended {
            Ended::Answered(answer) => {
                let read = answer.read.iter();
                let at = |(key, pair): (&Key, &Option<Pair>)| {
                    (*key, pair.map_or(0, |pair| pair.mod_revision))
                };
                self.known.extend(read.map(at));
            }
            // Whoever does not answer is not asked again at once.
            Ended::Refused | Ended::Open => self.member += 1,
        }
        self.shared
            .recorder
            .ended(self.client, called, asked, ended);
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// With an answer.
    Answered(Answer),
    /// So that it certainly had no effect.
    Refused,
    /// So that it may have had one, or may have one yet.
    Open,
}

impl Ended {
    fn failed(status: &Status) -> Self {
        let is_refused = match status.code() {
            Code::FailedPrecondition | Code::InvalidArgument => true,
            // Nobody was there to hear it.
            Code::Unavailable => status.message().contains("connect error"),
            _ => false,
        };
        if is_refused {
            Self::Refused
        } else {
            Self::Open
        }
    }
}

/// Carries out what is asked.
pub async fn transact(kv: &mut KvClient<Channel>, asked: &Asked) -> Ended {
    match timeout(CALL_DEADLINE, kv.txn(wire::transaction(asked))).await {
        Ok(Ok(response)) => {
            wire::answer(asked, response.get_ref()).map_or(Ended::Open, Ended::Answered)
        }
        Ok(Err(status)) => Ended::failed(&status),
        Err(_elapsed) => Ended::Open,
    }
}

/// Reads keys 0 to `keys_count`, less one, at one revision.
pub async fn read_all(
    kv: &mut KvClient<Channel>,
    keys_count: Key,
    is_serializable: bool,
) -> Option<Answer> {
    let range = RangeRequest {
        key: wire::PREFIX.into(),
        range_end: wire::name(keys_count).into(),
        serializable: is_serializable,
        ..RangeRequest::default()
    };
    let call = timeout(CALL_DEADLINE, kv.range(range));
    let response = call.await.ok()?.ok()?.into_inner();
    let mut read: BTreeMap<_, _> = (0..keys_count).map(|key| (key, None)).collect();
    for stored in &response.kvs {
        read.insert(wire::key(&stored.key)?, Some(wire::pair(stored)?));
    }
    Some(Answer {
        revision: response.header?.revision,
        succeeded: true,
        read,
        is_serializable,
    })
}
