//! Leases: keys that go away when their owner does.
//!
//! A lease lives for its time to live after each renewal. [`LeaseKeeper`] renews
//! one in the background until it is dropped, and says when the lease is lost:
//! told so by the server, or because no renewal succeeded for a whole time to
//! live, after which the server may have expired it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Response, Status};

use quoin_proto::etcdserverpb::lease_client::LeaseClient;
use quoin_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

use super::call::{calls, send};
use crate::retry::Core;
use crate::{Client, Error};

calls! { LeaseClient:
    /// Creates a lease; an id of 0 lets the server choose one.
    IfNotExecuted lease_grant = lease_grant(LeaseGrantRequest) -> LeaseGrantResponse;
    /// Ends a lease and deletes its keys.
    IfNotExecuted lease_revoke = lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse;
    /// What is left of a lease; a time to live of -1 means that it is gone.
    Always lease_time_to_live =
        lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse;
    /// Lists the leases.
    Always leases = lease_leases(LeaseLeasesRequest) -> LeaseLeasesResponse;
}

impl Client {
    /// Creates a lease that lasts `ttl` (whole seconds; the server has a
    /// minimum of about 2) and returns its id.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn grant(&self, ttl: Duration) -> Result<i64, Error> {
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        Ok(self.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?.id)
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn revoke(&self, id: i64) -> Result<(), Error> {
        self.lease_revoke(LeaseRevokeRequest { id }).await.map(drop)
    }

    /// Renews a lease once.
    ///
    /// # Errors
    /// [`Error::LeaseExpired`] if it is gone; otherwise that nobody answered.
    pub async fn keep_alive_once(&self, id: i64) -> Result<LeaseKeepAliveResponse, Error> {
        renew(&self.core, id).await
    }

    /// Renews a lease now, and from now on in the background until the keeper
    /// is dropped or the lease is lost.
    ///
    /// # Errors
    /// As for [`Client::keep_alive_once`].
    pub async fn keep_alive(&self, id: i64) -> Result<LeaseKeeper, Error> {
        let renewed_at = Instant::now();
        let first = renew(&self.core, id).await?;
        let (renewals_tx, renewals) = mpsc::channel(RENEWALS_COUNT_MAX);
        let (lost_tx, lost) = watch::channel(None);
        let ttl = seconds(first.ttl);
        // Room was made above.
        let _ = renewals_tx.try_send(first);
        let task = Task {
            core: self.core.clone(),
            id,
            ttl,
            expires_at: renewed_at + ttl,
            renewals: renewals_tx,
            lost: lost_tx,
        };
        Ok(LeaseKeeper {
            id,
            renewals,
            lost,
            task: tokio::spawn(task.run()),
        })
    }
}

/// Keeps one lease alive. Dropping it stops the renewals; the lease then ends by
/// itself after its time to live.
#[derive(Debug)]
pub struct LeaseKeeper {
    id: i64,
    /// Renewals nobody has looked at; further ones are dropped when it is full.
    renewals: mpsc::Receiver<LeaseKeepAliveResponse>,
    /// Why the lease was lost, once it was.
    lost: watch::Receiver<Option<Arc<Error>>>,
    /// Aborted on drop.
    task: JoinHandle<()>,
}

impl LeaseKeeper {
    /// The lease.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The next renewal, `None` once the lease is lost. For those who want to
    /// see renewals; they go on whether looked at or not.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn renewed(&mut self) -> Option<LeaseKeepAliveResponse> {
        self.renewals.recv().await
    }

    /// Waits until the lease is lost and says why.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn lost(&mut self) -> Arc<Error> {
        match self.lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(|| Arc::new(Error::Closed)),
            Err(_) => Arc::new(Error::Closed),
        }
    }

    /// Whether the lease is still being kept.
    pub fn is_alive(&self) -> bool {
        self.lost.borrow().is_none()
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind a keeper.
struct Task {
    core: Arc<Core>,
    id: i64,
    /// As last granted.
    ttl: Duration,
    /// When the server may have expired the lease, by our clock.
    expires_at: Instant,
    renewals: mpsc::Sender<LeaseKeepAliveResponse>,
    lost: watch::Sender<Option<Arc<Error>>>,
}

impl Task {
    async fn run(mut self) {
        let mut next_at = self.expires_at - self.ttl + self.ttl / RENEWALS_PER_TTL;
        loop {
            tokio::time::sleep_until(next_at).await;
            let started_at = Instant::now();
            let renewal = tokio::time::timeout_at(self.expires_at, renew(&self.core, self.id));
            match renewal.await {
                Ok(Ok(response)) => {
                    self.ttl = seconds(response.ttl);
                    self.expires_at = started_at + self.ttl;
                    next_at = started_at + self.ttl / RENEWALS_PER_TTL;
                    // Full means that nobody looks: see the field.
                    let _ = self.renewals.try_send(response);
                }
                Ok(Err(error)) if worth_repeating(&error) => {
                    tracing::debug!(lease = self.id, %error, "renewal failed, repeating");
                    next_at = Instant::now() + REPEAT_PAUSE;
                }
                Ok(Err(error)) => return self.end(error),
                Err(_) => return self.end(Error::LeaseExpired { id: self.id }),
            }
        }
    }

    fn end(&self, error: Error) {
        self.lost.send_replace(Some(Arc::new(error)));
    }
}

/// A failure that leaves the lease as it was.
fn worth_repeating(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::Timeout { .. })
}

async fn renew(core: &Core, id: i64) -> Result<LeaseKeepAliveResponse, Error> {
    let receive_max = core.config.receive_bytes_max;
    let request = LeaseKeepAliveRequest { id };
    let call = core.unary(
        crate::retry::Repeat::Always,
        request,
        move |channel, request| async move {
            let mut client = LeaseClient::new(channel).max_decoding_message_size(receive_max);
            let request = request.map(tokio_stream::once);
            let mut stream = client.lease_keep_alive(request).await?.into_inner();
            let reply = stream.message().await?;
            reply
                .map(Response::new)
                .ok_or_else(|| Status::unavailable("stream ended"))
        },
    );
    let response = call.await?;
    match response.ttl {
        ..=0 => Err(Error::LeaseExpired { id }),
        _ => Ok(response),
    }
}

/// A time to live as the API counts it.
fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

/// Renewals within a time to live: two may fail before the lease is in danger.
const RENEWALS_PER_TTL: u32 = 3;
/// Pause after a renewal that failed for all its attempts.
const REPEAT_PAUSE: Duration = Duration::from_millis(500);
/// Renewals kept for [`LeaseKeeper::renewed`].
const RENEWALS_COUNT_MAX: usize = 16;
