//! What members ask of the leader outside the log: lease renewal and the
//! remaining time of a lease.
//!
//! Only the leader runs expiry timers, so only it can answer. A call is one
//! kind byte and a protobuf message; the reply is a protobuf message.

use std::{sync::Arc, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use prost::Message;
use quoin_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    lease::{Lessor, RenewError},
    proposal::ReadGate,
};

/// Kind byte of a renewal.
const KEEP_ALIVE: u8 = 1;
/// Kind byte of a question for the remaining time.
const TIME_TO_LIVE: u8 = 2;

/// Answered with this error, a caller should look for the leader again.
pub(crate) const NOT_PRIMARY: &str = "not a primary lessor";

/// One call to the leader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LeaderCall {
    /// Renew a lease.
    KeepAlive(LeaseKeepAliveRequest),
    /// Ask for the remaining time of a lease.
    TimeToLive(LeaseTimeToLiveRequest),
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
        }
        buffer.freeze()
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
            other => Err(format!("call to the leader is of unknown kind {other:?}")),
        }
    }
}

/// Answers calls on the leader.
#[derive(Debug, Clone)]
pub(crate) struct LeaderCalls {
    lessor: Lessor,
    gate: Arc<std::sync::OnceLock<ReadGate>>,
    runtime: Handle,
}

impl LeaderCalls {
    /// Answers from `lessor`, on `runtime`, once [`Self::open`] was called.
    pub(crate) fn new(lessor: Lessor, runtime: Handle) -> Self {
        Self {
            lessor,
            gate: Arc::default(),
            runtime,
        }
    }

    /// Supplies the proof of leadership; calls before this are refused.
    pub(crate) fn open(&self, gate: ReadGate) {
        // A second call would bring the same gate.
        let _ = self.gate.set(gate);
    }

    async fn answer(&self, payload: Bytes) -> Result<Bytes, String> {
        let call = LeaderCall::decode(payload)?;
        let gate = self.gate.get().ok_or_else(|| NOT_PRIMARY.to_owned())?;
        // A quorum confirms that this member still leads: a deposed leader
        // must not promise time that its successor does not know of.
        gate.pass().await.map_err(|error| error.to_string())?;
        Ok(match call {
            LeaderCall::KeepAlive(request) => self.keep_alive(&request)?.encode_to_vec().into(),
            LeaderCall::TimeToLive(request) => self.time_to_live(&request)?.encode_to_vec().into(),
        })
    }

    /// TTL 0 tells that the lease does not exist. One that ran out and is not
    /// revoked yet is asked for again by the caller, until the outcome is clear.
    fn keep_alive(
        &self,
        request: &LeaseKeepAliveRequest,
    ) -> Result<LeaseKeepAliveResponse, String> {
        let ttl = match self.lessor.renew(request.id, Instant::now()) {
            Ok(renewal) => renewal.ttl,
            Err(RenewError::NotFound) => 0,
            Err(error) => return Err(error.to_string()),
        };
        Ok(LeaseKeepAliveResponse {
            header: None,
            id: request.id,
            ttl,
        })
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_read_back_as_written() {
        let keep_alive = LeaderCall::KeepAlive(LeaseKeepAliveRequest { id: -7 });
        let time_to_live = LeaderCall::TimeToLive(LeaseTimeToLiveRequest { id: 9, keys: true });
        for call in [keep_alive, time_to_live] {
            assert_eq!(LeaderCall::decode(call.encode()), Ok(call));
        }
        assert!(LeaderCall::decode(Bytes::new()).is_err());
        assert!(LeaderCall::decode(Bytes::from_static(b"\x09abc")).is_err());
    }
}
