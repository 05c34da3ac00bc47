//! The store as simply as it can be said: a list of all changes ever made.
//! Every answer is computed from the whole list, straight from the rules.

use std::collections::BTreeMap;

use prost::Message;
use quoin_proto::mvccpb::KeyValue;

use crate::base::key_range::KeyRange;
use crate::base::revision::Revision;
use crate::mvcc::{Error, RangeQuery, SortOrder, SortTarget};

use super::harness::{Request, Write};

/// One change; a tombstone has no pair.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) revision: Revision,
    pub(super) key: Vec<u8>,
    pub(super) pair: Option<KeyValue>,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) history: Vec<Change>,
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            history: Vec::new(),
            revision: 1,
            compact_revision: -1,
        }
    }

    pub(super) fn apply(&mut self, request: &Request) {
        match request {
            Request::Compact(revision) => {
                if *revision > self.compact_revision && *revision <= self.revision {
                    self.compact_revision = *revision;
                }
            }
            Request::Write(writes) => {
                let before = self.history.len();
                for write in writes {
                    self.write(write, before);
                }
                if self.history.len() > before {
                    self.revision += 1;
                }
            }
        }
    }

    fn write(&mut self, write: &Write, first_of_request: usize) {
        let main = self.revision + 1;
        let alive = self.alive_at(main);
        match write {
            Write::Put { key, value, lease } => {
                let before = alive.get(key);
                let pair = KeyValue {
                    key: key.clone().into(),
                    create_revision: before.map_or(main, |pair| pair.create_revision),
                    mod_revision: main,
                    version: before.map_or(0, |pair| pair.version) + 1,
                    value: value.clone().into(),
                    lease: *lease,
                };
                self.push(first_of_request, key.clone(), Some(pair));
            }
            Write::Delete { key, range_end } => {
                let range = KeyRange::new(key.clone().into(), range_end.clone().into());
                for key in alive.into_keys().filter(|key| range.contains(key)) {
                    self.push(first_of_request, key, None);
                }
            }
        }
    }

    fn push(&mut self, first_of_request: usize, key: Vec<u8>, pair: Option<KeyValue>) {
        let sub = i64::try_from(self.history.len() - first_of_request).unwrap();
        self.history.push(Change {
            revision: Revision::new(self.revision + 1, sub),
            key,
            pair,
        });
    }

    pub(super) fn alive_at(&self, main: i64) -> BTreeMap<Vec<u8>, KeyValue> {
        let mut alive = BTreeMap::new();
        for change in self
            .history
            .iter()
            .filter(|change| change.revision.main <= main)
        {
            match &change.pair {
                Some(pair) => alive.insert(change.key.clone(), pair.clone()),
                None => alive.remove(&change.key),
            };
        }
        alive
    }

    /// What is left once compaction is through.
    pub(super) fn retained(&self) -> Vec<&Change> {
        let keeps = |change: &&Change| {
            let revision = change.revision;
            let is_superseded = self.history.iter().any(|other| {
                other.key == change.key
                    && other.revision > revision
                    && other.revision.main <= self.compact_revision
            });
            revision.main > self.compact_revision
                || (!is_superseded
                    && (change.pair.is_some() || revision.main == self.compact_revision))
        };
        self.history.iter().filter(keeps).collect()
    }

    /// The pairs, `more` and `count` of a query; errors as their kinds.
    pub(super) fn range(&self, query: &RangeQuery) -> Result<(Vec<KeyValue>, bool, i64), Refusal> {
        if query.revision > self.revision {
            return Err(Refusal::Future);
        }
        if query.revision > 0 && query.revision < self.compact_revision {
            return Err(Refusal::Compacted);
        }
        let at = if query.revision <= 0 {
            self.revision
        } else {
            query.revision
        };
        let mut pairs: Vec<KeyValue> = self.alive_at(at).into_values().collect();
        pairs.retain(|pair| query.range.contains(&pair.key));
        let count = i64::try_from(pairs.len()).unwrap();
        if query.count_only {
            return Ok((Vec::new(), false, count));
        }
        let (mods, creates) = (query.mod_revision, query.create_revision);
        let bounds = [mods.min, mods.max, creates.min, creates.max];
        let is_default_order = query.sort_order == SortOrder::None
            || (query.sort_order == SortOrder::Ascend && query.sort_target == SortTarget::Key);
        let limit = usize::try_from(query.limit).unwrap_or(0);
        if limit > 0 && bounds == [0; 4] && is_default_order {
            pairs.truncate(limit + 1);
        }
        let fits = |value: i64, min: i64, max: i64| {
            (min == 0 || value >= min) && (max == 0 || value <= max)
        };
        pairs.retain(|pair| {
            fits(pair.mod_revision, mods.min, mods.max)
                && fits(pair.create_revision, creates.min, creates.max)
        });
        let order = |one: &KeyValue, other: &KeyValue| match query.sort_target {
            SortTarget::Key => one.key.cmp(&other.key),
            SortTarget::Version => one.version.cmp(&other.version),
            SortTarget::Create => one.create_revision.cmp(&other.create_revision),
            SortTarget::Mod => one.mod_revision.cmp(&other.mod_revision),
            SortTarget::Value => one.value.cmp(&other.value),
        };
        if query.sort_order == SortOrder::Descend {
            pairs.sort_by(|one, other| order(other, one));
        } else {
            pairs.sort_by(order);
        }
        let more = limit > 0 && pairs.len() > limit;
        if more {
            pairs.truncate(limit);
        }
        if query.keys_only {
            for pair in &mut pairs {
                pair.value.clear();
                if query.sort_target != SortTarget::Value {
                    pair.lease = 0;
                }
            }
        }
        Ok((pairs, more, count))
    }

    /// HashKV straight from its definition, over what compaction leaves.
    pub(super) fn hash_kv(&self, revision: i64) -> u32 {
        let alive = self.alive_at(revision);
        let mut hash = crc32c::crc32c(b"key");
        for change in self
            .retained()
            .iter()
            .filter(|change| change.revision.main <= revision)
        {
            let main = change.revision.main;
            let is_live = alive
                .get(&change.key)
                .is_some_and(|pair| Some(pair) == change.pair.as_ref());
            let is_filtered = main <= self.compact_revision && !alive.is_empty() && !is_live;
            if is_filtered || (change.pair.is_none() && main == self.compact_revision) {
                continue;
            }
            hash = crc32c::crc32c_append(hash, &change.revision.to_key());
            let tombstone = KeyValue {
                key: change.key.clone().into(),
                ..KeyValue::default()
            };
            if change.pair.is_none() {
                hash = crc32c::crc32c_append(hash, b"t");
            }
            let value = change.pair.as_ref().unwrap_or(&tombstone).encode_to_vec();
            hash = crc32c::crc32c_append(hash, &value);
        }
        hash
    }
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Compacted,
    Future,
}

impl Refusal {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Compacted { .. } => Self::Compacted,
            Error::FutureRevision { .. } => Self::Future,
            other => unreachable!("not a refusal: {other}"),
        }
    }
}
