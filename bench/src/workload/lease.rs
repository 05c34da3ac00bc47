//! Keepalives: each client holds one lease and one stream, and renews its
//! lease again as soon as the last renewal was answered.

use prost::Message;
use quoin_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
};

use crate::{
    connection::{Call, Failure},
    load::Client,
};

/// Renewals of one lease per client.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlives {
    /// Granted time to live: longer than any run.
    pub ttl_seconds: i64,
}

impl KeepAlives {
    /// One client's life.
    pub(super) async fn drive(self, mut client: Client) -> Result<(), Failure> {
        let grant = LeaseGrantRequest {
            ttl: self.ttl_seconds,
            ..LeaseGrantRequest::default()
        };
        let grant = client.frames.borrow_mut().frame(&grant);
        let granted = client.connection.unary(Call::LeaseGrant, grant).await?;
        let granted = decode::<LeaseGrantResponse>(granted)?;
        let renewal = LeaseKeepAliveRequest { id: granted.id };
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

fn decode<M: Message + Default>(message: bytes::Bytes) -> Result<M, Failure> {
    M::decode(message).map_err(|error| Failure::Transport(error.to_string()))
}
