//! The header of replies.

use quoin_proto::etcdserverpb::ResponseHeader;

use crate::proposal::Applied;

/// Builds reply headers of the answering member. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HeaderSource {
    /// This cluster.
    pub(crate) cluster_id: u64,
    /// The answering member, which need not be the leader.
    pub(crate) member_id: u64,
    /// Where the term comes from: that of the last entry applied here.
    pub(crate) applied: Applied,
}

impl HeaderSource {
    /// A header with the given store revision; 0 for replies that have none.
    pub(crate) fn with_revision(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision,
            raft_term: self.applied.term(),
        }
    }

    /// Completes a header that carries only its revision so far.
    pub(crate) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.with_revision(revision));
    }
}
