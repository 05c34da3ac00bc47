//! What members ask of the leader outside the log: lease renewal, the remaining
//! time of a lease, changes of the membership, and its recent digests.
//!
//! Only the leader runs expiry timers, and only it can change the membership. A
//! call is one kind byte and what the kind needs; of leases, call and reply are
//! protobuf messages.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        LeaseCheckpoint, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest,
        LeaseTimeToLiveResponse,
    },
    quoinpb::{LeaseCheckpoints, command::Request},
};
use quoin_raft::Leadership;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};

use super::{
    Reconfigurer,
    reconfigure_call::{ReconfigureCall, encode_answer},
};
use crate::{
    agreement::{Agreement, Quarantine},
    alarm::Alarms,
    cluster::Cluster,
    lease::{Lessor, RenewError},
    proposal::{Proposer, ReadGate},
    telemetry::metrics::Metrics,
};

/// Kind byte of a renewal.
const KEEP_ALIVE: u8 = 1;
/// Kind byte of a question for the remaining time.
const TIME_TO_LIVE: u8 = 2;
/// Kind byte of a change of the membership.
const RECONFIGURE: u8 = 3;
/// Kind byte of a question for the recent digests.
const DIGESTS: u8 = 4;
/// Kind byte of a question for a hash of everything stored.
const HASH: u8 = 5;

/// Answered with this error, a caller should look for the leader again.
pub(crate) const NOT_PRIMARY: &str = "not a primary lessor";

/// One call to the leader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LeaderCall {
    /// Renew a lease.
    KeepAlive(LeaseKeepAliveRequest),
    /// Ask for the remaining time of a lease.
    TimeToLive(LeaseTimeToLiveRequest),
    /// Change the membership.
    Reconfigure(ReconfigureCall),
    /// Tell the recent digests of the state.
    Digests,
    /// Tell the hash of everything stored as of this entry: 16 bytes, or none.
    Hash(u64),
}

impl LeaderCall {
    /// The bytes sent to the leader.
    pub(crate) fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::new();
        match self {
            Self::KeepAlive(request) => {
                buffer.put_u8(KEEP_ALIVE);
                request.encode_raw(&mut buffer);
            }
            Self::TimeToLive(request) => {
                buffer.put_u8(TIME_TO_LIVE);
                request.encode_raw(&mut buffer);
            }
            Self::Reconfigure(call) => {
                buffer.put_u8(RECONFIGURE);
                call.encode(&mut buffer);
            }
            Self::Digests => buffer.put_u8(DIGESTS),
            Self::Hash(index) => {
                buffer.put_u8(HASH);
                buffer.put_u64_le(*index);
            }
        }
        buffer.freeze()
    }

    /// The same call, made again after its answer was lost.
    pub(crate) fn repeated(&self) -> Self {
        let mut call = self.clone();
        if let Self::Reconfigure(call) = &mut call {
            call.is_repeated = true;
        }
        call
    }

    fn decode(mut payload: Bytes) -> Result<Self, String> {
        if payload.is_empty() {
            return Err("empty call to the leader".to_owned());
        }
        let kind = payload.split_to(1);
        let malformed =
            |error: prost::DecodeError| format!("malformed call to the leader: {error}");
        match kind.first() {
            Some(&KEEP_ALIVE) => LeaseKeepAliveRequest::decode(payload)
                .map(Self::KeepAlive)
                .map_err(malformed),
            Some(&TIME_TO_LIVE) => LeaseTimeToLiveRequest::decode(payload)
                .map(Self::TimeToLive)
                .map_err(malformed),
            Some(&DIGESTS) if payload.is_empty() => Ok(Self::Digests),
            Some(&HASH) => match payload.try_get_u64_le() {
                Ok(index) => Ok(Self::Hash(index)),
                Err(_short) => Err("malformed call to the leader: no index".to_owned()),
            },
            Some(&RECONFIGURE) => ReconfigureCall::decode(payload).map(Self::Reconfigure),
            other => Err(format!("call to the leader is of unknown kind {other:?}")),
        }
    }
}

/// Answers calls on the leader.
#[derive(Debug, Clone)]
pub(crate) struct LeaderCalls {
    lessor: Lessor,
    cluster: Cluster,
    alarms: Alarms,
    leading: Arc<OnceLock<Leading>>,
    reconfigurer: Arc<OnceLock<Reconfigurer>>,
    agreement: Agreement,
    quarantine: Quarantine,
    runtime: Handle,
    metrics: Arc<Metrics>,
}

/// What an answer needs beside the lessor.
#[derive(Debug)]
struct Leading {
    gate: ReadGate,
    leadership: watch::Receiver<Leadership>,
    proposer: Proposer,
}

impl Leading {
    /// The term in which this member leads.
    fn term(&self) -> Result<u64, String> {
        let now = *self.leadership.borrow();
        now.is_leader
            .then_some(now.term)
            .ok_or_else(|| NOT_PRIMARY.to_owned())
    }

    /// Lets the log know that the lease has all its time again.
    async fn clear_checkpoint(&self, id: i64, term: u64) -> Result<(), String> {
        let checkpoints = vec![LeaseCheckpoint {
            id,
            remaining_ttl: 0,
        }];
        let request = Request::LeaseCheckpoint(LeaseCheckpoints { checkpoints, term });
        let cleared = self.proposer.propose(request).await;
        cleared.map(drop).map_err(|error| error.to_string())
    }
}

impl LeaderCalls {
    /// Answers from `lessor`, on `runtime`, once [`Self::open`] was called, and
    /// from `cluster` at once.
    pub(crate) fn new(
        lessor: Lessor,
        cluster: Cluster,
        alarms: Alarms,
        runtime: Handle,
        agreement: Agreement,
        quarantine: Quarantine,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            lessor,
            cluster,
            alarms,
            leading: Arc::default(),
            reconfigurer: Arc::default(),
            agreement,
            quarantine,
            runtime,
            metrics,
        }
    }

    /// Supplies the proof of leadership; calls before this are refused.
    pub(crate) fn open(
        &self,
        gate: ReadGate,
        leadership: watch::Receiver<Leadership>,
        proposer: Proposer,
    ) {
        // A second call would bring the same parts.
        let _ = self.leading.set(Leading {
            gate,
            leadership,
            proposer,
        });
    }

    /// Supplies what changes the membership; such calls before this are refused.
    pub(crate) fn open_membership(&self, reconfigurer: Reconfigurer) {
        // As above.
        let _ = self.reconfigurer.set(reconfigurer);
    }

    async fn answer(&self, payload: Bytes) -> Result<Bytes, String> {
        let call = LeaderCall::decode(payload)?;
        let leading = self.leading.get().ok_or_else(|| NOT_PRIMARY.to_owned())?;
        if self.quarantine.is_active() {
            // On its way out: it must not promise anything from its state.
            return Err(NOT_PRIMARY.to_owned());
        }
        let turn = match (&call, self.reconfigurer.get()) {
            (LeaderCall::Reconfigure(_), Some(reconfigurer)) => Some(reconfigurer.turn().await?),
            _ => None,
        };
        let term = leading.term()?;
        // A quorum confirms that this member still leads: a deposed leader
        // must not promise time that its successor does not know of. The gate
        // asks whoever leads, so it must have been this member all along.
        let passed = leading.gate.pass().await;
        passed.map_err(|error| error.to_string())?;
        if leading.term()? != term {
            return Err(NOT_PRIMARY.to_owned());
        }
        Ok(match call {
            LeaderCall::KeepAlive(request) => {
                let (response, clears_checkpoint) = self.keep_alive(&request)?;
                if clears_checkpoint {
                    leading.clear_checkpoint(request.id, term).await?;
                }
                response.encode_to_vec().into()
            }
            LeaderCall::TimeToLive(request) => self.time_to_live(&request)?.encode_to_vec().into(),
            LeaderCall::Digests => self.agreement.ring().encode(),
            LeaderCall::Hash(index) => {
                let hash = self.agreement.hash_of(index);
                let hash = hash.map(|hash| hash.to_le_bytes().to_vec());
                hash.unwrap_or_default().into()
            }
            LeaderCall::Reconfigure(call) => {
                encode_answer(turn.ok_or(NOT_PRIMARY)?.reconfigure(call).await?)
            }
        })
    }

    /// TTL 0 tells that the lease does not exist. One that ran out and is not
    /// revoked yet is asked for again by the caller, until the outcome is clear.
    /// Beside the response: whether a replicated remaining time is to be cleared.
    fn keep_alive(
        &self,
        request: &LeaseKeepAliveRequest,
    ) -> Result<(LeaseKeepAliveResponse, bool), String> {
        let (ttl, clears_checkpoint) = match self.lessor.renew(request.id, Instant::now()) {
            Ok(renewal) => {
                self.metrics.lease.renewed_total.inc();
                (renewal.ttl, renewal.clears_checkpoint)
            }
            Err(RenewError::NotFound) => (0, false),
            Err(error) => return Err(error.to_string()),
        };
        let response = LeaseKeepAliveResponse {
            header: None,
            id: request.id,
            ttl,
        };
        Ok((response, clears_checkpoint))
    }

    /// TTL -1 tells that the lease does not exist.
    fn time_to_live(
        &self,
        request: &LeaseTimeToLiveRequest,
    ) -> Result<LeaseTimeToLiveResponse, String> {
        let id = request.id;
        match self.lessor.remaining(id, Instant::now()) {
            Ok(left) => {
                let keys = if request.keys {
                    self.lessor.keys(id)
                } else {
                    Vec::new()
                };
                let (ttl, granted_ttl) = (left.seconds, left.ttl);
                Ok(LeaseTimeToLiveResponse {
                    header: None,
                    id,
                    ttl,
                    granted_ttl,
                    keys,
                })
            }
            Err(RenewError::NotFound) => Ok(LeaseTimeToLiveResponse {
                id,
                ttl: -1,
                ..Default::default()
            }),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl quoin_raft::LeaderHandler for LeaderCalls {
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let (reply, answered) = oneshot::channel();
        let calls = self.clone();
        // Detached: bounded by the calls in flight, ends with its answer.
        self.runtime.spawn(async move {
            // The caller may have left.
            let _ = reply.send(calls.answer(payload).await);
        });
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err("the leader is stopping".to_owned()))
        })
    }

    fn published_name(&self, member: u64) -> Option<String> {
        self.cluster.published_name(member)
    }

    fn is_unfit(&self, member: u64) -> bool {
        self.alarms.is_corrupt(member)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quoin_proto::quoinpb::Command;
    use quoin_raft::EntryPool;

    use super::*;
    use crate::{
        backend::Digest,
        lease::Config,
        proposal::{
            Applied, LeaderView, Limits, Outcome, Passage, Registry,
            frame::{FrameError, FrameReader},
        },
    };

    const LED: Leadership = Leadership {
        leader: Some(1),
        term: 5,
        is_leader: true,
    };

    /// A leader with a lease of 100 s. Leadership is `after` once the quorum has
    /// answered. Gives what is proposed.
    fn leader(after: Leadership) -> (LeaderCalls, Arc<parking_lot::Mutex<Vec<Command>>>) {
        let lessor = Lessor::new(Config::new(Duration::from_secs(1)));
        lessor.grant(1, 100).unwrap();
        lessor.promote(Instant::now(), Duration::ZERO);
        let (leadership, now) = watch::channel(LED);
        let leadership = Arc::new(leadership);
        let read_index = Arc::new(
            move |_readers| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
                leadership.send_replace(after);
                Box::pin(std::future::ready(Ok(1)))
            },
        );
        let gate = ReadGate::new(read_index, Applied::new(1, 1));
        let registry = Registry::new(1, 1, Duration::MAX);
        let proposed = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let (log, completing) = (Arc::clone(&proposed), registry.clone());
        let propose = Arc::new(
            move |frame| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
                let reader = FrameReader::open(frame).unwrap();
                let id = reader.id();
                let commands: Result<Vec<_>, FrameError> = reader.collect();
                log.lock().extend(commands.unwrap());
                let passage = Passage::begin(quoin_raft::Stages::default());
                completing.complete(id, vec![Ok(Outcome::Done)], passage);
                Box::pin(std::future::ready(Ok(())))
            },
        );
        let limits = Limits {
            request_bytes_max: 1 << 20,
            timeout: Duration::from_secs(30),
            election_timeout: Duration::from_secs(1),
        };
        let pool = EntryPool::new(quoin_raft::Metrics::shared());
        let view = watch::channel(LeaderView::default()).1;
        let (proposer, task) = Proposer::new(registry.clone(), pool, propose, view, limits);
        tokio::spawn(task);
        tokio::spawn(registry.fan_out());
        let calls = LeaderCalls::new(
            lessor,
            Cluster::default(),
            Alarms::default(),
            Handle::current(),
            Agreement::new(0, Digest::default()),
            Quarantine::open(std::path::Path::new("none")).unwrap(),
            Arc::new(Metrics::new(false).unwrap()),
        );
        calls.open(gate, now, proposer);
        (calls, proposed)
    }

    fn keep_alive() -> Bytes {
        LeaderCall::KeepAlive(LeaseKeepAliveRequest { id: 1 }).encode()
    }

    #[tokio::test]
    async fn only_who_leads_all_along_renews() {
        let (calls, proposed) = leader(LED);
        let reply = calls.answer(keep_alive()).await.unwrap();
        assert_eq!(LeaseKeepAliveResponse::decode(reply).unwrap().ttl, 100);
        assert!(proposed.lock().is_empty(), "renewal stays off the log");
        let deposed = Leadership {
            leader: Some(2),
            term: 6,
            is_leader: false,
        };
        let led_again = Leadership { term: 7, ..LED };
        for after in [deposed, led_again] {
            let (calls, _) = leader(after);
            let refused = calls.answer(keep_alive()).await.unwrap_err();
            assert_eq!(refused, NOT_PRIMARY);
        }
    }

    #[tokio::test]
    async fn renewing_a_lease_with_a_checkpoint_clears_it_through_the_log() {
        let (calls, proposed) = leader(LED);
        calls.lessor.checkpoint(1, 40).unwrap();
        calls.answer(keep_alive()).await.unwrap();
        let cleared = LeaseCheckpoint {
            id: 1,
            remaining_ttl: 0,
        };
        let expected = LeaseCheckpoints {
            checkpoints: vec![cleared],
            term: 5,
        };
        let expected = Some(Request::LeaseCheckpoint(expected));
        let proposed: Vec<_> = proposed.lock().drain(..).map(|c| c.request).collect();
        assert_eq!(proposed, vec![expected]);
    }

    #[test]
    fn calls_read_back_as_written() {
        let keep_alive = LeaderCall::KeepAlive(LeaseKeepAliveRequest { id: -7 });
        let time_to_live = LeaderCall::TimeToLive(LeaseTimeToLiveRequest { id: 9, keys: true });
        for call in [
            keep_alive,
            time_to_live,
            LeaderCall::Digests,
            LeaderCall::Hash(7),
        ] {
            assert_eq!(LeaderCall::decode(call.encode()), Ok(call));
        }
        assert!(LeaderCall::decode(Bytes::new()).is_err());
        assert!(LeaderCall::decode(Bytes::from_static(b"\x09abc")).is_err());
    }
}
