//! Leases: granted one after another, or one per client renewed again and
//! again.

use bytes::Bytes;
use prost::Message;
use quoin_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
};

use crate::{
    connection::{Call, Failure, Frames},
    load::Client,
    random::Random,
    workload::unary::Requests,
};

/// Grants of new leases, which are left to run out.
#[derive(Clone, Copy, Debug)]
pub struct Grants {
    /// Granted time to live.
    pub ttl_seconds: i64,
}

impl Requests for Grants {
    fn call(&self) -> Call {
        Call::LeaseGrant
    }

    fn next(&mut self, frames: &mut Frames, _random: &mut Random) -> Option<Bytes> {
        Some(frames.frame(&LeaseGrantRequest {
            ttl: self.ttl_seconds,
            ..LeaseGrantRequest::default()
        }))
    }
}

/// Renewals of one lease per client, on one stream each, the next as soon as
/// the last was answered.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlives {
    /// Granted time to live: longer than any run.
    pub ttl_seconds: i64,
}

impl KeepAlives {
    /// One client's life.
    pub(super) async fn drive(self, mut client: Client) -> Result<(), Failure> {
        let id = grant(&mut client, self.ttl_seconds).await?;
        let renewal = LeaseKeepAliveRequest { id };
        let renewal = client.frames.borrow_mut().frame(&renewal);
        let mut stream = client.connection.stream(Call::LeaseKeepAlive).await?;
        client.begin().await;
        while let Some(start) = client.arrivals.next().await {
            stream.send(renewal.clone())?;
            let Some(reply) = stream.next().await? else {
                return Err(Failure::Transport("keepalive stream ended".to_owned()));
            };
            if decode::<LeaseKeepAliveResponse>(reply)?.ttl <= 0 {
                return Err(Failure::Transport("the lease is gone".to_owned()));
            }
            client.complete(start);
        }
        Ok(())
    }
}

/// Grants one lease and returns its id.
pub(super) async fn grant(client: &mut Client, ttl_seconds: i64) -> Result<i64, Failure> {
    let grant = LeaseGrantRequest {
        ttl: ttl_seconds,
        ..LeaseGrantRequest::default()
    };
    let grant = client.frames.borrow_mut().frame(&grant);
    let granted = client.connection.unary(Call::LeaseGrant, grant).await?;
    Ok(decode::<LeaseGrantResponse>(granted)?.id)
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Failure> {
    M::decode(message).map_err(|error| Failure::Transport(error.to_string()))
}
