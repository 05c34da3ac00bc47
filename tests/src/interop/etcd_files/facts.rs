//! What a client can see of a store.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::Hasher,
};

use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        AuthenticateRequest, HashKvRequest, HashKvResponse, LeaseLeasesRequest,
        LeaseTimeToLiveRequest, RangeRequest, RangeResponse, auth_client::AuthClient,
        kv_client::KvClient, lease_client::LeaseClient, maintenance_client::MaintenanceClient,
    },
    mvccpb::KeyValue,
};
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    Error, Result,
    cluster::{Cluster, refused},
    wait,
};

/// Pairs asked for at once.
const PAGE_KEYS: i64 = 5000;
/// Seconds that a lease may have run during the comparison.
const LEASE_SECONDS_MAX: i64 = 600;

/// A member, and who asks it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) channel: Channel,
    token: Option<AsciiMetadataValue>,
}

impl Access {
    pub(super) fn open(cluster: &Cluster, member: usize) -> Result<Self> {
        let channel = cluster.channel(member)?;
        Ok(Self {
            channel,
            token: None,
        })
    }

    /// Waits until the server takes this password.
    pub(super) async fn sign_in(mut self, name: &str, password: &str) -> Result<Self> {
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let mut client = AuthClient::new(self.channel.clone());
        let signed_in = wait::until("the password to be taken", wait::DEADLINE, async || {
            client.authenticate(request.clone()).await
        });
        let token = signed_in.await?.into_inner().token;
        self.token = token.parse().ok();
        Ok(self)
    }

    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse> {
        let reply = self.kv().range(self.request(request)).await;
        Ok(reply.map_err(refused("range"))?.into_inner())
    }

    /// The newest and the compact revision.
    async fn revisions(&self) -> Result<(i64, i64)> {
        let reply = self.hash_kv(0).await?;
        Ok((reply.hash_revision, reply.compact_revision))
    }

    async fn hash(&self, revision: i64) -> Result<u32> {
        Ok(self.hash_kv(revision).await?.hash)
    }

    async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let request = self.request(HashKvRequest { revision });
        let reply = client.hash_kv(request).await;
        Ok(reply.map_err(refused("hash"))?.into_inner())
    }
}

/// Waits until a member has this revision, read locally.
pub(super) async fn wait_revision(access: &Access, revision: i64) -> Result<()> {
    let what = format!("revision {revision}");
    let reached = wait::until(&what, wait::DEADLINE, async || {
        let found = access
            .revisions()
            .await
            .map_err(|error| error.to_string())?;
        if found.0 == revision {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    reached.await
}

/// Revisions from the oldest that can be read to the newest.
pub(super) async fn spread(access: &Access, count: i64) -> Result<Vec<i64>> {
    let (newest, compacted) = access.revisions().await?;
    let oldest = compacted.max(1);
    let mut revisions: Vec<_> = (0..count)
        .map(|at| oldest + (newest - oldest) * at / (count - 1))
        .collect();
    revisions.dedup();
    Ok(revisions)
}

/// Everything at some revisions, as numbers, and all of the newest.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) revision: i64,
    compact_revision: i64,
    /// By revision: HashKV, keys, a hash over all pairs with all their fields.
    states: BTreeMap<i64, (Option<u32>, usize, u64)>,
    newest: Vec<KeyValue>,
    /// By id: granted seconds, keys.
    leases: BTreeMap<i64, (i64, Vec<Vec<u8>>)>,
}

impl Facts {
    pub(super) async fn take(access: &Access, revisions: &[i64]) -> Result<Self> {
        let (revision, compact_revision) = access.revisions().await?;
        let mut states = BTreeMap::new();
        let mut newest = Vec::new();
        for revision in revisions {
            newest = listing(access, *revision).await?;
            let mut hasher = DefaultHasher::new();
            newest
                .iter()
                .for_each(|pair| hasher.write(&pair.encode_to_vec()));
            // There etcd answers what it noted before it compacted, and no longer has
            // after a restart.
            let hash = match *revision == compact_revision {
                true => None,
                false => Some(access.hash(*revision).await?),
            };
            let state = (hash, newest.len(), hasher.finish());
            states.insert(*revision, state);
        }
        let leases = leases(access).await?;
        Ok(Self {
            revision,
            compact_revision,
            states,
            newest,
            leases,
        })
    }

    pub(super) fn revisions(&self) -> Vec<i64> {
        self.states.keys().copied().collect()
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} keys at revision {}, history from {} on at {} revisions, {} leases with {} keys",
            self.newest.len(),
            self.revision,
            self.compact_revision,
            self.states.len(),
            self.leases.len(),
            self.leases
                .values()
                .map(|(_, keys)| keys.len())
                .sum::<usize>(),
        )
    }

    /// Names the first difference.
    pub(super) fn compare(&self, found: &Self, whose: &str) -> Result<()> {
        let differs = |what: String| Err(Error::malformed(whose, what));
        let ends = |facts: &Self| (facts.revision, facts.compact_revision);
        if ends(self) != ends(found) {
            return differs(format!(
                "revisions {:?} became {:?}",
                ends(self),
                ends(found)
            ));
        }
        let pairs = self.newest.iter().zip(&found.newest);
        if let Some((one, other)) = pairs.into_iter().find(|(one, other)| one != other) {
            return differs(format!("{one:?} became {other:?}"));
        }
        for (revision, state) in &self.states {
            let other = found.states.get(revision);
            if other != Some(state) {
                return differs(format!(
                    "at revision {revision}, {state:?} became {other:?}"
                ));
            }
        }
        if self.leases != found.leases {
            return differs("the leases or their keys are others".to_owned());
        }
        Ok(())
    }
}

async fn listing(access: &Access, revision: i64) -> Result<Vec<KeyValue>> {
    let mut pairs: Vec<KeyValue> = Vec::new();
    let mut request = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        limit: PAGE_KEYS,
        serializable: true,
        ..RangeRequest::default()
    };
    loop {
        let reply = access.range(request.clone()).await?;
        pairs.extend(reply.kvs);
        let Some(last) = pairs.last().filter(|_| reply.more) else {
            return Ok(pairs);
        };
        request.key = [&last.key[..], &[0]].concat().into();
    }
}

async fn leases(access: &Access) -> Result<BTreeMap<i64, (i64, Vec<Vec<u8>>)>> {
    let mut client = LeaseClient::new(access.channel.clone());
    let request = access.request(LeaseLeasesRequest {});
    let list = client
        .lease_leases(request)
        .await
        .map_err(refused("leases"))?;
    let mut leases = BTreeMap::new();
    for lease in list.into_inner().leases {
        let request = LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let reply = client.lease_time_to_live(access.request(request)).await;
        let reply = reply.map_err(refused("time to live"))?.into_inner();
        let left = reply.granted_ttl - LEASE_SECONDS_MAX..=reply.granted_ttl;
        if !left.contains(&reply.ttl) {
            let problem = format!("{} of {} seconds left", reply.ttl, reply.granted_ttl);
            return Err(Error::malformed(format!("lease {:x}", lease.id), problem));
        }
        let mut keys: Vec<_> = reply.keys.iter().map(|key| key.to_vec()).collect();
        keys.sort();
        leases.insert(lease.id, (reply.granted_ttl, keys));
    }
    Ok(leases)
}
