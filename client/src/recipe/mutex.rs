//! A lock held by a lease.
//!
//! Everybody who wants the lock puts a key under the lock's name, attached to
//! their lease. The oldest key holds it; each of the others waits for the key
//! created just before its own to go away, so that one release wakes one
//! waiter. A holder that dies loses its lease, and with it its key.
//!
//! The key layout is the one of etcd's clients, which can share locks with this
//! one: `name/` and the lease id in hexadecimal.

use bytes::Bytes;

use quoin_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quoin_proto::etcdserverpb::response_op::Response;
use quoin_proto::etcdserverpb::{ResponseHeader, TxnResponse};
use quoin_proto::mvccpb::KeyValue;
use quoin_proto::mvccpb::event::EventType;

use crate::{Client, Compare, Delete, Error, Get, Put, Txn, Watch};

/// A lock in the cluster, wanted on behalf of one lease.
#[derive(Clone, Debug)]
pub struct Mutex {
    client: Client,
    /// Name of the lock and a slash.
    prefix: String,
    lease: i64,
}

/// The lock, held. It is released by [`MutexGuard::unlock`] or with the lease;
/// dropping the guard releases nothing, because that takes a call.
#[derive(Debug)]
pub struct MutexGuard {
    client: Client,
    key: Bytes,
    create_revision: i64,
    header: ResponseHeader,
}

impl Mutex {
    /// The lock `name`, for the owner of `lease`. Keep the lease alive while the
    /// lock is wanted or held.
    pub fn new(client: &Client, name: &str, lease: i64) -> Self {
        Self {
            client: client.clone(),
            prefix: format!("{name}/"),
            lease,
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// The first call that failed; [`Error::LeaseExpired`] if the lease ended
    /// while waiting.
    ///
    /// # Cancel safety
    /// A dropped call may leave the key of the waiter behind, which goes with
    /// the lease.
    pub async fn lock(&self) -> Result<MutexGuard, Error> {
        let key = Bytes::from(format!("{}{}", self.prefix, self.lease_text()));
        let reply = self.enter(key.clone()).await?;
        let header = reply.header.unwrap_or_default();
        let own = own_create_revision(&reply)?;
        let oldest = oldest_create_revision(&reply)?;
        let guard = |header| MutexGuard {
            client: self.client.clone(),
            key: key.clone(),
            create_revision: own,
            header,
        };
        if oldest.is_none_or(|oldest| oldest == own) {
            return Ok(guard(header));
        }
        if let Err(error) = self.wait_for_older(own).await {
            // Best effort: otherwise the key goes with the lease.
            let _ = self.client.delete(Delete::key(key)).await;
            return Err(error);
        }
        let check = self.client.get(Get::key(key.clone())).await?;
        match check.kvs.is_empty() {
            true => Err(Error::LeaseExpired { id: self.lease }),
            false => Ok(guard(check.header.unwrap_or_default())),
        }
    }

    /// Creates the own key unless it exists, and reads the oldest one.
    async fn enter(&self, key: Bytes) -> Result<TxnResponse, Error> {
        let oldest = Get::prefix(self.prefix.clone())
            .sort(SortTarget::Create, SortOrder::Ascend)
            .limit(1);
        let txn = Txn::new()
            .when(Compare::missing(key.clone()))
            .then(Put::new(key.clone(), "").lease(self.lease))
            .then(oldest.clone())
            .otherwise(Get::key(key))
            .otherwise(oldest);
        self.client.txn(txn).await
    }

    /// Waits until no key older than `own` is left.
    async fn wait_for_older(&self, own: i64) -> Result<(), Error> {
        loop {
            let newest_older = Get::prefix(self.prefix.clone())
                .sort(SortTarget::Create, SortOrder::Descend)
                .limit(1)
                .create_revisions(0, own - 1);
            let reply = self.client.get(newest_older).await?;
            let Some(older) = reply.kvs.first() else {
                return Ok(());
            };
            let revision = reply.header.map_or(0, |header| header.revision);
            self.wait_for_delete(older, revision + 1).await?;
        }
    }

    async fn wait_for_delete(&self, pair: &KeyValue, from_revision: i64) -> Result<(), Error> {
        let watch = Watch::key(pair.key.clone()).start_revision(from_revision);
        let mut watcher = self.client.watch(watch).await?;
        loop {
            let response = watcher.next().await.unwrap_or(Err(Error::Closed))?;
            if response
                .events
                .iter()
                .any(|event| event.r#type() == EventType::Delete)
            {
                return Ok(());
            }
        }
    }

    /// The lease id as etcd's clients write it in lock keys.
    fn lease_text(&self) -> String {
        match self.lease {
            ..0 => format!("-{:x}", self.lease.unsigned_abs()),
            _ => format!("{:x}", self.lease),
        }
    }
}

impl MutexGuard {
    /// The key that holds the lock. It exists as long as the lock is held.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Revision of the key's creation: the order in which holders came.
    pub fn create_revision(&self) -> i64 {
        self.create_revision
    }

    /// Header of the reply that found the lock acquired.
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// A condition that holds while the lock is held, for transactions.
    pub fn is_held(&self) -> Compare {
        let equal = quoin_proto::etcdserverpb::compare::CompareResult::Equal;
        Compare::create_revision(self.key.clone(), equal, self.create_revision)
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn unlock(self) -> Result<(), Error> {
        self.client.delete(Delete::key(self.key)).await.map(drop)
    }
}

/// Revision at which the own key was created, from the reply of
/// [`Mutex::enter`].
fn own_create_revision(reply: &TxnResponse) -> Result<i64, Error> {
    if reply.succeeded {
        return Ok(reply.header.map_or(0, |header| header.revision));
    }
    match reply
        .responses
        .first()
        .and_then(|operation| operation.response.as_ref())
    {
        Some(Response::ResponseRange(range)) => range
            .kvs
            .first()
            .map(|pair| pair.create_revision)
            .ok_or(Error::Malformed {
                what: "a key that exists was not returned",
            }),
        _ => Err(Error::Malformed {
            what: "a range was not answered by one",
        }),
    }
}

/// Revision at which the oldest key was created; `None` if there is none.
fn oldest_create_revision(reply: &TxnResponse) -> Result<Option<i64>, Error> {
    match reply
        .responses
        .get(1)
        .and_then(|operation| operation.response.as_ref())
    {
        Some(Response::ResponseRange(range)) => {
            Ok(range.kvs.first().map(|pair| pair.create_revision))
        }
        _ => Err(Error::Malformed {
            what: "a range was not answered by one",
        }),
    }
}
