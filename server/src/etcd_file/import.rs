//! A file of etcd as the state of a new store.
//!
//! What the data is made of is kept to the byte: every change with its revision,
//! leases, users, roles, the switch of authentication, alarms. Who was a member of
//! the old cluster, and how far its log went, is left behind: the new cluster has
//! its own. The result is a snapshot stream, which the receiver of every other
//! snapshot checks and writes.

use bytes::Bytes;
use prost::Message;
use quoin_proto::authpb::{Role, User};
use quoin_proto::etcdserverpb::AlarmMember;
use quoin_proto::quoinpb::LeaseRecord;
use xxhash_rust::xxh3::Xxh3;

use super::file::Walk;
use super::layout::{
    AUTH_ENABLED, AUTH_REVISION, FINISHED_COMPACT_REVISION, SAME_ROWS, SCHEDULED_COMPACT_REVISION,
};
use super::record::{self, Change, MAIN_MAX};
use super::{EtcdFile, ImportError};
use crate::backend::{Digest, RecordInfo, Recovered, StreamWriter, Table};
use crate::base::revision::Revision;
use crate::mvcc::compacted_row;

/// What is to be different from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Revisions to skip behind the last one of the file: numbers that clients of
    /// the old cluster may have seen and that the file does not have.
    pub skipped_revisions: u64,
    /// Forget all history, so that watches that go on with old revisions are told.
    pub is_compacted: bool,
}

/// What of a file will be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Newest revision of the file, at least 1.
    pub revision: i64,
    /// Compacted up to here; `None` if never.
    pub compact_revision: Option<i64>,
    /// The file has a SHA-256 and so is a snapshot, which is complete.
    pub has_hash: bool,
    /// Authentication is on.
    pub has_auth: bool,
    /// Raised alarms.
    pub alarms_count: usize,
    /// Leases.
    pub leases_count: usize,
    /// Users.
    pub users_count: usize,
    /// Rows of the small tables, in table and key order.
    rows: Vec<(Table, Bytes, Bytes)>,
}

impl Import {
    /// Reads everything but the history, which may be large.
    ///
    /// # Errors
    /// The file is damaged, or not one of etcd's.
    pub fn read(file: &EtcdFile) -> Result<Self, ImportError> {
        let last_key = file.last_key(file.needed("key")?)?;
        let last = match last_key {
            None => 0,
            Some(key) => {
                let decoded = record::decode_key(&key);
                let bad = |reason: &str| file.bad_row(b"key", &key, reason.to_owned());
                decoded.map_err(bad)?.0.main
            }
        };
        let compact_revision = compact_revision(file)?;
        let mut import = Self {
            revision: last.max(compact_revision.unwrap_or(0)).max(1),
            compact_revision,
            has_hash: file.has_hash(),
            has_auth: false,
            alarms_count: 0,
            leases_count: 0,
            users_count: 0,
            rows: Vec::new(),
        };
        for (name, table) in SAME_ROWS {
            import.read_table(file, name, table)?;
        }
        import
            .rows
            .sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        Ok(import)
    }

    fn read_table(
        &mut self,
        file: &EtcdFile,
        name: &[u8],
        table: Table,
    ) -> Result<(), ImportError> {
        // Files of old releases lack some.
        let Some(bucket) = file.bucket(name) else {
            return Ok(());
        };
        file.for_each(bucket, &mut |key, value| {
            let checked = self.note_row(table, key, value);
            checked.map_err(|reason| Walk::Row(key.to_vec(), reason.to_owned()))?;
            if self.rows.len() == ROWS_MAX {
                let reason = "more leases, users, roles and alarms than can be taken over";
                return Err(Walk::Row(key.to_vec(), reason.to_owned()));
            }
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            self.rows.push((table, key, value));
            Ok(())
        })
    }

    /// Checks a row, so that what is taken over can be read at every start.
    fn note_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match table {
            Table::Lease => {
                let lease = LeaseRecord::decode(value).map_err(|_| "not an encoded lease")?;
                if key != lease.id.to_be_bytes() {
                    return Err("the lease has another id");
                }
                self.leases_count += 1;
            }
            Table::Alarm => {
                AlarmMember::decode(key).map_err(|_| "not an encoded alarm")?;
                self.alarms_count += 1;
            }
            Table::Auth if key == AUTH_ENABLED => match value {
                [switch @ (0 | 1)] => self.has_auth = *switch == 1,
                _ => return Err("neither on nor off"),
            },
            Table::Auth if key == AUTH_REVISION && value.len() != 8 => {
                return Err("not a revision");
            }
            Table::AuthUsers => {
                let user = User::decode(value).map_err(|_| "not an encoded user")?;
                if user.name[..] != *key {
                    return Err("the user has another name");
                }
                if !user.roles.is_sorted() {
                    return Err("the roles of the user are not in order");
                }
                self.users_count += 1;
            }
            Table::AuthRoles => {
                let role = Role::decode(value).map_err(|_| "not an encoded role")?;
                if role.name[..] != *key {
                    return Err("the role has another name");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Newest revision of the store after these changes.
    #[must_use]
    pub fn revision_after(&self, changes: Changes) -> i64 {
        let skipped = i64::try_from(changes.skipped_revisions).unwrap_or(MAIN_MAX);
        self.revision.saturating_add(skipped).min(MAIN_MAX)
    }

    /// Hands the whole state to `sink`, as a snapshot stream without a place in a log
    /// and without members. Blocks on disk reads.
    ///
    /// # Errors
    /// The file is damaged, or `sink` failed.
    pub fn stream(
        &self,
        file: &EtcdFile,
        changes: Changes,
        sink: &mut dyn FnMut(Bytes) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let revision = self.revision_after(changes);
        let compact_revision = match changes.is_compacted {
            true => Some(revision),
            false => self.compact_revision,
        };
        let position = Recovered {
            revision,
            digest: self.digest(file, revision, compact_revision)?,
            ..Recovered::default()
        };
        let mut stream = StreamWriter::new(&position);
        file.for_each(file.needed("key")?, &mut |key, value| {
            let put = put_change(key, value, &mut stream);
            put.map_err(|reason| Walk::Row(key.to_vec(), reason.to_owned()))?;
            match stream.take() {
                Some(chunk) => sink(chunk).map_err(Walk::Other),
                None => Ok(()),
            }
        })?;
        if let Some(compact_revision) = compact_revision {
            let (key, value) = compacted_row(compact_revision);
            stream.row(Table::Meta, key, value);
        }
        for (table, key, value) in &self.rows {
            stream.row(*table, key.clone(), value.clone());
            if let Some(chunk) = stream.take() {
                sink(chunk)?;
            }
        }
        sink(stream.finish())
    }

    /// Of all that the store will hold. The members of a cluster that are made from
    /// different files have different ones for good, so that it can be noticed.
    fn digest(
        &self,
        file: &EtcdFile,
        revision: i64,
        compact_revision: Option<i64>,
    ) -> Result<Digest, ImportError> {
        let mut hasher = Xxh3::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(&revision.to_le_bytes());
        add(&compact_revision.unwrap_or(-1).to_le_bytes());
        file.for_each(file.needed("key")?, &mut |key, value| {
            add(key);
            add(value);
            Ok(())
        })?;
        for (table, key, value) in &self.rows {
            add(&[table.number()]);
            add(key);
            add(value);
        }
        let value = hasher.digest128();
        Ok(Digest {
            base: Some(0),
            value,
        })
    }
}

fn put_change(key: &[u8], value: &[u8], stream: &mut StreamWriter) -> Result<(), &'static str> {
    let (revision, is_tombstone) = record::decode_key(key)?;
    let mut info = RecordInfo {
        revision,
        key: Bytes::new(),
        create_revision: 0,
        version: 0,
        lease: 0,
        tombstone: is_tombstone,
    };
    match record::decode(revision, is_tombstone, value)? {
        Change::Put(record) => {
            info.key = record.key();
            info.create_revision = record.create_revision();
            info.version = record.version();
            info.lease = record.lease();
            stream.record(record.encoded(), &info);
        }
        Change::Tombstone { key } => {
            let encoded = record::tombstone(&key, revision.main);
            info.key = key;
            stream.record(&encoded, &info);
        }
        Change::Nothing => {}
    }
    Ok(())
}

/// The revision up to which history is gone or was about to go: the removal of an
/// interrupted compaction is made good by the store itself.
fn compact_revision(file: &EtcdFile) -> Result<Option<i64>, ImportError> {
    let mut newest = None;
    file.for_each(file.needed("meta")?, &mut |key, value| {
        if key == FINISHED_COMPACT_REVISION || key == SCHEDULED_COMPACT_REVISION {
            let decoded = record::decode_key(value);
            let bad = |reason: &str| Walk::Row(key.to_vec(), reason.to_owned());
            let (Revision { main, .. }, _) = decoded.map_err(bad)?;
            newest = newest.max(Some(main));
        }
        Ok(())
    })?;
    Ok(newest)
}

/// Rows of the small tables, which are all in memory: some hundred MB of leases.
const ROWS_MAX: usize = 5_000_000;
