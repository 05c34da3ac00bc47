//! One round: a fresh cluster, clients and watches on it, faults by a plan, and a
//! verdict on everything that was seen.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quoin_proto::etcdserverpb::{
    HashKvRequest, kv_client::KvClient, maintenance_client::MaintenanceClient,
};
use tokio::task::JoinSet;

use super::{
    addresses::Addresses,
    client::{self, Ended},
    fault::{Fault, plan},
    nemesis::{Nemesis, Span},
    recorder::{Asked, Recorder},
    told::Told,
    verdict::{self, Verdict},
    watcher::{self, End, Watched},
};
use crate::{
    Error, Result,
    checker::operation::{Key, Operation},
    cluster::{Cluster, Options, channel, refused},
    wait,
};

/// Clients that write and read.
const CLIENTS_COUNT: u32 = 8;

/// Watches of everything.
const WATCHES_COUNT: usize = 3;

/// Keys: few, so that clients meet on them.
const KEYS_COUNT: Key = 12;

/// Until a cluster without faults must be whole again.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// What a round is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides the plan and what clients ask for. Not the order in which it all
    /// happens: these are real processes.
    pub seed: u64,
    /// Kinds of faults.
    pub faults: Vec<Fault>,
    /// How long faults begin.
    pub length: Duration,
    /// The server; `None` is Quoin.
    pub binary: Option<PathBuf>,
}

/// What came out of a round.
#[derive(Debug)]
pub struct Outcome {
    /// What was judged.
    pub verdict: Verdict,
    /// Everything that clients saw.
    pub history: Vec<Operation>,
    /// Everything that watches saw.
    pub watched: Vec<Watched>,
    /// The faults.
    pub spans: Vec<Span>,
    /// From the end of the last fault until every member served again.
    pub recovery: Duration,
    /// Logs of the members.
    pub logs: Vec<(String, String)>,
}

/// Runs a round.
///
/// # Errors
/// The cluster does not even start. Everything later is part of the verdict.
pub async fn run(settings: &Settings) -> Result<Outcome> {
    let options = Options::new(3).wired().binary(settings.binary.clone());
    let cluster = Cluster::start(options).await?;
    let mut round = Round::begin(cluster, settings);
    let plan = plan(settings.seed, &settings.faults, settings.length);
    let mut problems = Vec::new();
    problems.extend(round.nemesis.run(&plan).await.err());
    let healed = Instant::now();
    problems.extend(round.nemesis.recovered(RECOVERY_MAX).await.err());
    let recovery = healed.elapsed();
    let problems = problems.iter().map(ToString::to_string).collect();
    Ok(round.end(problems, recovery).await)
}

/// A round that goes on.
struct Round {
    nemesis: Nemesis,
    recorder: Arc<Recorder>,
    addresses: Addresses,
    stop: Arc<AtomicBool>,
    end: End,
    clients: JoinSet<()>,
    watches: JoinSet<Result<Watched>>,
}

impl Round {
    /// Starts clients and watches.
    fn begin(cluster: Cluster, settings: &Settings) -> Self {
        let recorder = Arc::new(Recorder::default());
        let addresses = Addresses::new(cluster.urls());
        let (told, end) = (Told::new(WATCHES_COUNT), End::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS_COUNT {
            let shared = client::Shared {
                recorder: Arc::clone(&recorder),
                addresses: addresses.clone(),
                keys_count: KEYS_COUNT,
                stop: Arc::clone(&stop),
            };
            clients.spawn(client::run(number, shared, settings.seed));
        }
        let mut watches = JoinSet::new();
        for number in 0..WATCHES_COUNT {
            let (addresses, told, end) = (addresses.clone(), told.clone(), end.clone());
            watches.spawn(watcher::run(number, addresses, told, end));
        }
        Self {
            nemesis: Nemesis::new(cluster, Arc::clone(&recorder), told, addresses.clone()),
            recorder,
            addresses,
            stop,
            end,
            clients,
            watches,
        }
    }

    /// Stops everybody, compares the members, and judges.
    async fn end(mut self, mut problems: Vec<String>, recovery: Duration) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let mut hashes = Vec::new();
        match self.last_revision().await {
            Ok(revision) => {
                self.end.set(revision);
                match self.hashes(revision).await {
                    Ok(found) => hashes = found,
                    Err(error) => problems.push(error.to_string()),
                }
            }
            Err(error) => {
                problems.push(error.to_string());
                // Nobody waits for what does not come.
                self.end.set(i64::MIN);
            }
        }
        let mut watched = Vec::new();
        for ended in self.watches.join_all().await {
            match ended {
                Ok(one) => watched.push(one),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let history = self.recorder.take();
        let mut verdict = verdict::judge(&history, &watched, &hashes);
        let logs = self.nemesis.logs();
        problems.extend(verdict::panics(&logs));
        verdict.violations.splice(0..0, problems);
        Outcome {
            verdict,
            history,
            watched,
            recovery,
            logs,
            spans: self.nemesis.spans,
        }
    }

    /// Writes once more and returns the revision: nothing comes after it.
    async fn last_revision(&self) -> Result<i64> {
        let mut turn = 0;
        let written = wait::until("a last write", wait::DEADLINE, async || {
            turn += 1;
            let channel = channel(&self.addresses.url(turn)).map_err(|e| e.to_string())?;
            let asked = Asked {
                // Another value each time: one without answer may come to be as well.
                changes: vec![(KEYS_COUNT, Some(self.recorder.new_value()))],
                ..Asked::default()
            };
            let called = self.recorder.now();
            let ended = client::transact(&mut KvClient::new(channel), &asked).await;
            let revision = match &ended {
                Ended::Answered(answer) => Ok(answer.revision),
                other => Err(format!("{other:?}")),
            };
            self.recorder.ended(CLIENTS_COUNT, called, asked, ended);
            revision
        });
        written.await
    }

    /// The hash of everything up to `revision`, of each member; what each of them
    /// holds becomes part of the history.
    async fn hashes(&self, revision: i64) -> Result<Vec<(String, u32)>> {
        let mut hashes = Vec::new();
        for url in self.addresses.all() {
            let channel = channel(&url)?;
            let called = self.recorder.now();
            let mut kv = KvClient::new(channel.clone());
            // Linearizable: this member has applied the last write then.
            let read = client::read_all(&mut kv, KEYS_COUNT + 1, false).await;
            let silent = || Error::malformed(&url, "no answer after the faults");
            let read = Ended::Answered(read.ok_or_else(silent)?);
            self.recorder
                .ended(CLIENTS_COUNT, called, Asked::default(), read);
            let hash = MaintenanceClient::new(channel)
                .hash_kv(HashKvRequest { revision })
                .await
                .map_err(refused("HashKV"))?;
            hashes.push((url, hash.into_inner().hash));
        }
        Ok(hashes)
    }
}
