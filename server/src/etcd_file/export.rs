//! The store as a file of etcd.
//!
//! Everything comes from one view, which both passes over the rows read: nothing
//! is copied aside, and what happens meanwhile is not in the file. The view keeps
//! the records it needs, so compaction waits for whoever writes slowly.

use std::io;
use std::ops::ControlFlow;

use quoin_proto::etcdserverpb::Member;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::ExportError;
use super::layout::{
    ALARM, AUTH, AUTH_ROLES, AUTH_USERS, CLUSTER, CLUSTER_VERSION, CONF_STATE, CONSISTENT_INDEX,
    FINISHED_COMPACT_REVISION, KEY, LEASE, MEMBERS, MEMBERS_REMOVED, META, REMOVED,
    SCHEDULED_COMPACT_REVISION, STORAGE_VERSION, TERM, TOMBSTONE_MARK,
};
use crate::backend::Table;
use crate::base::revision::Revision;
use crate::base::version;
use crate::bbolt::{self, Builder, Layout, WriteError};
use crate::mvcc::{ReadTransaction, record};

/// A state that can be written out.
pub struct Export {
    view: ReadTransaction,
    members: Vec<Member>,
    is_cancelled: Box<dyn Fn() -> bool + Send>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Export")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

impl Export {
    /// What `view` sees; `members` as clients see them, whom a restore replaces.
    #[must_use]
    pub fn new(view: ReadTransaction, members: Vec<Member>) -> Self {
        Self {
            view,
            members,
            is_cancelled: Box::new(|| false),
        }
    }

    /// Asks now and then whether to stop, in both passes.
    #[must_use]
    pub fn cancelled_by(mut self, is_cancelled: impl Fn() -> bool + Send + 'static) -> Self {
        self.is_cancelled = Box::new(is_cancelled);
        self
    }

    /// Storage version that the file names, for tools.
    #[must_use]
    pub fn storage_version(&self) -> &'static str {
        version::STORAGE
    }

    /// First pass: where everything goes. Blocks on disk reads.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn measure(&self) -> Result<Layout, ExportError> {
        bbolt::measure(|builder| self.fill(builder))
    }

    /// Second pass: hands the image to `sink`, a page or more at a time. Blocks on
    /// disk reads. The SHA-256 is the caller's.
    ///
    /// # Errors
    /// The store cannot be read, or the sink broke off.
    pub fn write(
        &self,
        layout: &Layout,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExportError> {
        bbolt::write(layout, |builder| self.fill(builder), sink)
    }

    /// Both passes, into a file with its SHA-256; returns the length. Blocks.
    ///
    /// # Errors
    /// The store cannot be read, or the file cannot be written.
    pub fn save(&self, out: &mut dyn io::Write) -> Result<u64, ExportError> {
        let layout = self.measure()?;
        let mut hasher = Sha256::new();
        let mut written = Ok(());
        let image = self.write(&layout, &mut |bytes| {
            hasher.update(bytes);
            written = out.write_all(bytes);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        written?;
        image?;
        let hash = hasher.finalize();
        out.write_all(&hash)?;
        Ok(layout.image_bytes() + hash.len() as u64)
    }

    /// Everything, in bucket order.
    fn fill(&self, out: &mut Builder<'_>) -> Result<(), ExportError> {
        out.bucket(ALARM)?;
        for (key, value) in self.view.backend().rows(Table::Alarm) {
            // One with a value concerns one member, here; etcd would take it for an
            // alarm that stops the cluster.
            if value.is_empty() {
                out.row(&key, &value)?;
            }
        }
        self.copy(AUTH, Table::Auth, out)?;
        self.copy(AUTH_ROLES, Table::AuthRoles, out)?;
        self.copy(AUTH_USERS, Table::AuthUsers, out)?;
        out.bucket(CLUSTER)?;
        if let Some(version) = self.view.backend().row(Table::Cluster, CLUSTER_VERSION) {
            out.row(CLUSTER_VERSION, &version)?;
        }
        self.fill_keys(out)?;
        self.copy(LEASE, Table::Lease, out)?;
        self.fill_members(out)?;
        self.fill_meta(out)
    }

    /// A bucket whose rows are those of a table.
    fn copy(&self, bucket: &[u8], table: Table, out: &mut Builder<'_>) -> Result<(), ExportError> {
        out.bucket(bucket)?;
        for (key, value) in self.view.backend().rows(table) {
            out.row(&key, &value)?;
        }
        Ok(())
    }

    fn fill_keys(&self, out: &mut Builder<'_>) -> Result<(), ExportError> {
        out.bucket(KEY)?;
        let mut result = Ok(());
        let mut last = 0;
        let mut count = 0_u64;
        self.view.for_each_kept(&mut |revision, encoded| {
            count += 1;
            last = revision.main;
            result = if count.is_multiple_of(RECORDS_PER_LOOK) && (self.is_cancelled)() {
                Err(WriteError::Stopped)
            } else {
                put_record(revision, encoded, out)
            };
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        result?;
        // Revisions that were skipped, or whose last change was compacted away,
        // must not be given out again.
        let revision = self.view.stored_revision();
        let compact_revision = self.view.stored_compact_revision()?.unwrap_or(0);
        if revision > last.max(compact_revision).max(FIRST_REVISION) {
            out.row(&Revision::new(revision, 0).to_key(), &[])?;
        }
        Ok(())
    }

    fn fill_members(&self, out: &mut Builder<'_>) -> Result<(), ExportError> {
        let named = self.members.iter().map(|member| (hex(member.id), member));
        let mut named: Vec<_> = named.collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        out.bucket(MEMBERS)?;
        for (id, member) in named {
            out.row(id.as_bytes(), member_json(member).as_bytes())?;
        }
        let removed = self.view.backend().rows(Table::MembersRemoved).into_iter();
        let removed = removed.filter_map(|(key, _)| Some(u64::from_be_bytes(*key.first_chunk()?)));
        let mut removed: Vec<_> = removed.map(hex).collect();
        removed.sort();
        out.bucket(MEMBERS_REMOVED)?;
        for id in removed {
            out.row(id.as_bytes(), REMOVED)?;
        }
        Ok(())
    }

    fn fill_meta(&self, out: &mut Builder<'_>) -> Result<(), ExportError> {
        let applied = self.view.backend().applied();
        let (index, term) = applied.map_or((0, 0), |applied| (applied.index, applied.term));
        out.bucket(META)?;
        out.row(CONF_STATE, conf_state_json(&self.members).as_bytes())?;
        out.row(CONSISTENT_INDEX, &index.to_be_bytes())?;
        if let Some(revision) = self.view.stored_compact_revision()? {
            // What compaction removes is not in the file: it is finished.
            let value = Revision::new(revision, 0).to_key();
            out.row(FINISHED_COMPACT_REVISION, &value)?;
            out.row(SCHEDULED_COMPACT_REVISION, &value)?;
        }
        out.row(STORAGE_VERSION, version::STORAGE.as_bytes())?;
        out.row(TERM, &term.to_be_bytes())?;
        Ok(())
    }
}

fn put_record(revision: Revision, encoded: &[u8], out: &mut Builder<'_>) -> Result<(), WriteError> {
    let key = revision.to_key();
    if record::is_tombstone(encoded) {
        let mut marked = key.to_vec();
        marked.push(TOMBSTONE_MARK);
        return out.row(&marked, record::tombstone_key_part(encoded));
    }
    out.row(&key, encoded)
}

fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// A member as etcd stores it. Fields and order: etcd 3.7.
fn member_json(member: &Member) -> String {
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(member.id));
    fields.insert("peerURLs".to_owned(), json!(member.peer_urls));
    if member.is_learner {
        fields.insert("isLearner".to_owned(), json!(true));
    }
    if !member.name.is_empty() {
        fields.insert("name".to_owned(), json!(member.name));
    }
    if !member.client_urls.is_empty() {
        fields.insert("clientURLs".to_owned(), json!(member.client_urls));
    }
    Value::Object(fields).to_string()
}

/// Who votes, as etcd's Raft stores it. Fields and order: etcd 3.7.
fn conf_state_json(members: &[Member]) -> String {
    let ids = |learners: bool| -> Vec<u64> {
        let wanted = members
            .iter()
            .filter(|member| member.is_learner == learners);
        let mut ids: Vec<_> = wanted.map(|member| member.id).collect();
        ids.sort_unstable();
        ids
    };
    let mut fields = Map::new();
    fields.insert("voters".to_owned(), json!(ids(false)));
    if !ids(true).is_empty() {
        fields.insert("learners".to_owned(), json!(ids(true)));
    }
    fields.insert("auto_leave".to_owned(), json!(false));
    Value::Object(fields).to_string()
}

/// Records between two questions whether to stop.
const RECORDS_PER_LOOK: u64 = 1024;
/// Revision of a store into which nothing was written.
const FIRST_REVISION: i64 = 1;
