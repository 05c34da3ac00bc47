//! Linearizable reads: one quorum round for all that wait, on any member.
//!
//! A follower sends its readers to the leader as one request that says how many
//! they are. The leader asks a quorum whether it still leads; all that waits
//! when it asks shares the answer. A round costs messages between all members
//! whatever its size, so after one that served a crowd the leader lets more
//! readers gather first. A few readers never wait.
//! Source: Raft dissertation, section 6.4.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{ReadPolicy, type_config::TypeConfigExt};
use tokio::sync::{mpsc, oneshot};

use crate::core::Core;
use crate::error::ReadIndexError;
use crate::forward::{RETRY_MAX, RETRY_MIN};
use crate::log_store::entry_codec::Reader;
use crate::rpc::Forwarded;
use crate::state_machine::StateMachine;
use crate::transport::Class;
use crate::transport::frame::Kind;
use crate::types::TypeConfig;

/// Readers that wait for one index together.
pub(crate) struct ReadRequest {
    pub(crate) reply: oneshot::Sender<Result<u64, ReadIndexError>>,
    /// How many they are.
    pub(crate) readers_count: u32,
    /// Came from another member: serve it here or refuse it.
    pub(crate) is_forwarded: bool,
}

impl<S: StateMachine> Core<S> {
    /// Serves reads in rounds.
    pub(crate) async fn read_loop(self: Arc<Self>, mut queue: mpsc::Receiver<ReadRequest>) {
        let mut waiting: Vec<ReadRequest> = Vec::new();
        let mut wait = RETRY_MIN;
        loop {
            if waiting.is_empty() {
                wait = RETRY_MIN;
                if queue.recv_many(&mut waiting, REQUESTS_MAX).await == 0 {
                    return;
                }
            } else {
                while waiting.len() < REQUESTS_MAX {
                    let Ok(request) = queue.try_recv() else { break };
                    waiting.push(request);
                }
            }
            waiting.retain(|request| !request.reply.is_closed());
            if waiting.is_empty() {
                continue;
            }
            match self.read_round(readers_count(&waiting)).await {
                Ok(index) => self.served(&mut waiting, index).await,
                Err(reason) => {
                    self.metrics().read_index_failures.add(1);
                    for request in waiting.extract_if(.., |request| request.is_forwarded) {
                        let refused = ReadIndexError::Refused(reason.clone());
                        let _ = request.reply.send(Err(refused));
                    }
                    self.leader_change(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Answers a round; where many were in it, lets the next one gather.
    async fn served(&self, waiting: &mut Vec<ReadRequest>, index: u64) {
        let count = readers_count(waiting);
        self.metrics().read_index_served.add(count.into());
        for request in waiting.drain(..) {
            let _ = request.reply.send(Ok(index));
        }
        let pause = gathering(count);
        if self.is_leader() && !pause.is_zero() {
            TypeConfig::sleep(pause).await;
        }
    }

    /// One quorum round, here or at the leader: the shown index to wait for.
    async fn read_round(&self, readers_count: u32) -> Result<u64, String> {
        self.metrics().read_index_rounds.add(1);
        let leadership = self.leadership();
        if leadership.is_leader {
            let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
            let linearizer = linearizer.map_err(|error| error.to_string())?;
            return Ok(linearizer.read_log_id().index() + 1);
        }
        let leader = leadership
            .leader
            .filter(|leader| *leader != self.shared.member_id);
        let leader = leader.ok_or("no leader")?;
        let link = self.link(leader, Class::Control);
        let head = Bytes::copy_from_slice(&readers_count.to_le_bytes());
        let call = link.call(Kind::ReadIndex, head, Vec::new());
        let answer = TypeConfig::timeout(self.config.election_timeout * 2, call).await;
        let frame = answer.map_err(|_| "the leader did not answer")?;
        let frame = frame.map_err(|error| error.to_string())?;
        if frame.kind != Kind::ReadIndexReply {
            return Err(format!("the leader answered {:?}", frame.kind));
        }
        match Forwarded::decode(frame.payload).map_err(|error| error.to_string())? {
            Forwarded::Done(bytes) => Reader::new(bytes).long().map_err(|error| error.to_string()),
            Forwarded::Refused(reason) | Forwarded::Failed(reason) => Err(reason),
        }
    }

    /// Serves readers that another member sent on, in the round of our own.
    pub(crate) async fn read_index_here(&self, request: Bytes) -> Forwarded {
        if !self.is_leader() {
            return Forwarded::Refused("not the leader".into());
        }
        let readers_count = match Reader::new(request).word() {
            Ok(count) => count,
            Err(error) => return Forwarded::Failed(error.to_string()),
        };
        let (reply, index) = oneshot::channel();
        let request = ReadRequest {
            reply,
            readers_count,
            is_forwarded: true,
        };
        if self.reads.send(request).await.is_err() {
            return Forwarded::Refused("stopped".into());
        }
        match index.await {
            Ok(Ok(index)) => Forwarded::Done(Bytes::copy_from_slice(&index.to_le_bytes())),
            Ok(Err(error)) => Forwarded::Refused(error.to_string()),
            Err(_) => Forwarded::Refused("stopped".into()),
        }
    }
}

fn readers_count(waiting: &[ReadRequest]) -> u32 {
    let counts = waiting.iter().map(|request| request.readers_count);
    counts.fold(0, u32::saturating_add)
}

/// How long to gather after a round with this many readers.
fn gathering(readers_count: u32) -> Duration {
    GATHER_PAUSE
        .saturating_mul(readers_count / CROWD_COUNT)
        .min(GATHER_PAUSE_MAX)
}

/// Requests answered by one round.
const REQUESTS_MAX: usize = 64 << 10;
/// Readers in one round from which on the next gathers first.
const CROWD_COUNT: u32 = 32;
/// How long it gathers per such crowd in the round before: little beside the
/// time that so many readers queue for anyway.
const GATHER_PAUSE: Duration = Duration::from_millis(1);
/// Longest gathering.
const GATHER_PAUSE_MAX: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crowds_gather_and_never_for_long() {
        assert_eq!(gathering(CROWD_COUNT - 1), Duration::ZERO);
        assert_eq!(gathering(2 * CROWD_COUNT), 2 * GATHER_PAUSE);
        assert_eq!(gathering(u32::MAX), GATHER_PAUSE_MAX);
    }
}
