//! What is known of the cluster besides its Raft membership.
//!
//! Who is a voter or learner, and under which peer URLs, is decided by Raft's
//! membership alone; here are the attributes that members publish of
//! themselves, and the feature level of the cluster. Both change through
//! apply only.

mod reconfiguration;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;
use quoin_proto::{
    etcdserverpb,
    quoinpb::{MemberAttributes, MemberRecord},
};

pub(crate) use reconfiguration::{Candidate, Reconfiguration, ReconfigurationError, Rules, View};

/// Row of [`crate::backend::Table::Cluster`] that holds the feature level.
pub(crate) const VERSION_ROW: &[u8] = b"clusterVersion";

/// Published attributes and the feature level. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Attributes by member id.
    attributes: BTreeMap<u64, MemberAttributes>,
    /// Ids of members that were removed.
    removed: BTreeSet<u64>,
    /// "major.minor.patch", once a leader has decided it.
    version: Option<String>,
}

impl Cluster {
    /// Reads stored rows back.
    ///
    /// # Errors
    /// A member row cannot be decoded.
    pub(crate) fn recover(
        &self,
        members: impl Iterator<Item = Bytes>,
        version: Option<Bytes>,
    ) -> Result<(), prost::DecodeError> {
        let mut state = State::default();
        for row in members {
            let record = MemberRecord::decode(row)?;
            let attributes = MemberAttributes {
                member_id: record.id,
                name: record.name,
                client_urls: record.client_urls,
            };
            state.attributes.insert(record.id, attributes);
        }
        state.version = version.map(|text| String::from_utf8_lossy(&text).into_owned());
        *self.state.write() = state;
        Ok(())
    }

    /// Reads the stored ids of removed members back.
    ///
    /// # Errors
    /// A key is no id.
    pub(crate) fn recover_removed(
        &self,
        keys: impl Iterator<Item = Bytes>,
    ) -> Result<(), std::array::TryFromSliceError> {
        let ids = keys.map(|key| <[u8; 8]>::try_from(&key[..]).map(u64::from_be_bytes));
        self.state.write().removed = ids.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Notes that a member is gone for good.
    pub(crate) fn remove(&self, id: u64) {
        let mut state = self.state.write();
        state.attributes.remove(&id);
        state.removed.insert(id);
    }

    /// The member was removed.
    pub(crate) fn is_removed(&self, id: u64) -> bool {
        self.state.read().removed.contains(&id)
    }

    /// All members that were removed, ascending.
    pub(crate) fn removed(&self) -> Vec<u64> {
        self.state.read().removed.iter().copied().collect()
    }

    /// Notes what a member says of itself.
    pub(crate) fn publish(&self, attributes: MemberAttributes) {
        self.state
            .write()
            .attributes
            .insert(attributes.member_id, attributes);
    }

    /// Notes the feature level.
    pub(crate) fn decide_version(&self, version: String) {
        self.state.write().version = Some(version);
    }

    /// The feature level, `None` until a leader has decided it.
    pub(crate) fn version(&self) -> Option<String> {
        self.state.read().version.clone()
    }

    /// The name that a member has published.
    pub(crate) fn published_name(&self, id: u64) -> Option<String> {
        let state = self.state.read();
        state.attributes.get(&id).map(|member| member.name.clone())
    }

    /// A member has published exactly these attributes.
    pub(crate) fn has(&self, attributes: &MemberAttributes) -> bool {
        self.state.read().attributes.get(&attributes.member_id) == Some(attributes)
    }

    /// The members, ascending by id, as clients see them; a member that never
    /// started has no name and no client URLs.
    pub(crate) fn members(&self, raft: Vec<quoin_raft::Member>) -> Vec<etcdserverpb::Member> {
        let state = self.state.read();
        let mut members: Vec<_> = raft
            .into_iter()
            .map(|member| {
                let published = state
                    .attributes
                    .get(&member.id)
                    .cloned()
                    .unwrap_or_default();
                etcdserverpb::Member {
                    id: member.id,
                    name: published.name,
                    peer_urls: member.peer_urls,
                    client_urls: published.client_urls,
                    is_learner: member.is_learner,
                }
            })
            .collect();
        members.sort_unstable_by_key(|member| member.id);
        members
    }
}

/// Key and value of the row that stores a member's attributes. Peer URLs and
/// learner role are Raft's and stay empty.
pub(crate) fn member_row(attributes: &MemberAttributes) -> (Bytes, Bytes) {
    let record = MemberRecord {
        id: attributes.member_id,
        name: attributes.name.clone(),
        client_urls: attributes.client_urls.clone(),
        ..Default::default()
    };
    (row_key(attributes.member_id), record.encode_to_vec().into())
}

/// Key of a member's row, and of its row among those removed.
pub(crate) fn row_key(id: u64) -> Bytes {
    id.to_be_bytes().to_vec().into()
}
