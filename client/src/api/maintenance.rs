//! State and care of single members.
//!
//! These calls are about the member that answers: to ask a certain one, use
//! [`crate::Client::with_endpoints`].

use tonic::Streaming;

use quoin_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quoin_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};

use super::call::{calls, send};
use crate::{Client, Error};

calls! { MaintenanceClient:
    /// State of the member.
    Always status = status(StatusRequest) -> StatusResponse;
    /// Lists, raises or lowers alarms.
    IfNotExecuted alarm = alarm(AlarmRequest) -> AlarmResponse;
    /// Gives free space of the member's files back to the file system.
    IfNotExecuted defragment = defragment(DefragmentRequest) -> DefragmentResponse;
    /// Hash of the member's history, to compare with other members'.
    Always hash_kv = hash_kv(HashKvRequest) -> HashKvResponse;
    /// Hands the leadership over. Only the leader obeys.
    IfNotExecuted move_leader = move_leader(MoveLeaderRequest) -> MoveLeaderResponse;
    /// Prepares or undoes going back to an earlier release.
    IfNotExecuted downgrade = downgrade(DowngradeRequest) -> DowngradeResponse;
}

impl Client {
    /// Starts a copy of the member's whole store.
    ///
    /// # Errors
    /// The member's refusal, or that none could be asked.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let receive_max = self.core.config.receive_bytes_max;
        let open = self
            .core
            .open(SnapshotRequest {}, move |channel, request| async move {
                let mut client =
                    MaintenanceClient::new(channel).max_decoding_message_size(receive_max);
                client.snapshot(request).await
            });
        let answer = open.await?;
        Ok(Snapshot {
            stream: answer.reply,
            endpoint: answer.endpoint,
        })
    }
}

/// A copy of a store on its way.
#[derive(Debug)]
pub struct Snapshot {
    stream: Streaming<SnapshotResponse>,
    endpoint: String,
}

impl Snapshot {
    /// The next piece; `None` after the last one, which ends with a SHA-256 of
    /// all before it.
    ///
    /// # Errors
    /// The loss of the connection or the member's refusal.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn next(&mut self) -> Result<Option<SnapshotResponse>, Error> {
        let message = self.stream.message().await;
        message.map_err(|status| Error::from_status(&self.endpoint, status))
    }
}
