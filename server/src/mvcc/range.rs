//! The range pipeline: which pairs a query returns, and in which order.
//!
//! The index answers everything but values: liveness, count, filters, and all
//! sort targets except VALUE. So records are read last, and only those that are
//! returned. The order of the steps is part of the API and shows through in
//! replies: count, early cut, filters, sort, limit.
//! Source: observed etcd behaviour (3.7).
//!
//! Known quirk, kept: with sort order NONE and a target other than KEY the
//! early cut comes first, so only the first limit + 1 keys are sorted.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;

use crate::base::{key_range::KeyRange, revision::Revision};

use super::Error;
use super::generation::Change;
use super::record::{Fields, Record};
use super::tree_index::{TreeIndex, for_each_alive};

/// A range read.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    /// Keys to look at.
    pub range: KeyRange,
    /// Revision to read at; 0 and below mean the newest.
    pub revision: i64,
    /// Pairs to return at most; 0 and below mean all.
    pub limit: i64,
    /// Return the count alone.
    pub count_only: bool,
    /// Count the whole range; otherwise the walk ends with the last pair that
    /// is returned where the order allows it, and the count means nothing.
    pub counts: bool,
    /// Return pairs without values.
    pub keys_only: bool,
    /// Direction of the order.
    pub sort_order: SortOrder,
    /// Field that is ordered by.
    pub sort_target: SortTarget,
    /// Bounds on `mod_revision`.
    pub mod_revision: RevisionFilter,
    /// Bounds on `create_revision`.
    pub create_revision: RevisionFilter,
}

impl RangeQuery {
    /// All pairs of `range` at the newest revision, in key order.
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            revision: 0,
            limit: 0,
            count_only: false,
            counts: true,
            keys_only: false,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            mod_revision: RevisionFilter::default(),
            create_revision: RevisionFilter::default(),
        }
    }

    fn has_filter(&self) -> bool {
        self.mod_revision != RevisionFilter::default()
            || self.create_revision != RevisionFilter::default()
    }

    /// Pairs collected at most before filters and sorting.
    fn collect_max(&self) -> usize {
        let ordered_by_the_index = match (self.sort_order, self.sort_target) {
            (SortOrder::None, _) | (SortOrder::Ascend, SortTarget::Key) => true,
            (SortOrder::Ascend | SortOrder::Descend, _) => false,
        };
        match usize::try_from(self.limit) {
            Ok(limit) if limit > 0 && ordered_by_the_index && !self.has_filter() => {
                limit.saturating_add(1)
            }
            _ => usize::MAX,
        }
    }

    fn accepts(&self, change: Change) -> bool {
        self.mod_revision.accepts(change.main())
            && self.create_revision.accepts(change.create_revision())
    }
}

/// Direction of the order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SortOrder {
    /// As the index has it; ascending if the target is not the key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Greatest first.
    Descend,
}

/// Field that is ordered by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SortTarget {
    /// Key bytes.
    #[default]
    Key,
    /// Puts since creation.
    Version,
    /// Creation revision.
    Create,
    /// Revision of the last put.
    Mod,
    /// Value bytes.
    Value,
}

/// Inclusive bounds on a revision; a bound of 0 is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RevisionFilter {
    /// Lowest accepted revision.
    pub min: i64,
    /// Highest accepted revision.
    pub max: i64,
}

impl RevisionFilter {
    fn accepts(self, revision: i64) -> bool {
        (self.min == 0 || revision >= self.min) && (self.max == 0 || revision <= self.max)
    }
}

/// Answer to a [`RangeQuery`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RangeResult {
    /// Encoded `mvccpb.KeyValue`s in the order asked for.
    pub kvs: Vec<Bytes>,
    /// The limit cut pairs off.
    pub more: bool,
    /// Keys alive in the range, whatever limit and filters left.
    pub count: i64,
    /// Newest revision of the store when the range was read.
    pub revision: i64,
}

/// Where the records of a range come from: a view, or a batch with its own
/// writes.
pub(super) trait RecordSource {
    /// The record of a revision that the index names.
    fn record(&self, revision: Revision) -> Result<Bytes, Error>;
    /// The records of several revisions, in the order given.
    fn records(&self, revisions: &[Revision]) -> Result<Vec<Bytes>, Error>;
}

/// Runs `query` on the state at main revision `main`. The caller has checked
/// the revision and fills in `RangeResult::revision`.
pub(super) fn run(
    index: &RwLock<TreeIndex>,
    source: &impl RecordSource,
    main: i64,
    query: &RangeQuery,
) -> Result<RangeResult, Error> {
    if let KeyRange::One(key) = &query.range
        && !query.has_filter()
        && !query.keys_only
        && !query.count_only
    {
        return run_one(index, source, main, key);
    }
    if query.count_only {
        return Ok(RangeResult {
            count: count(index, main, &query.range),
            ..Default::default()
        });
    }
    let built_from_index = query.keys_only && query.sort_target != SortTarget::Value;
    let mut found = Found::collect(index, main, query, built_from_index);
    if query.sort_target == SortTarget::Value {
        return by_value(source, query, found);
    }
    sort(&mut found.hits, query);
    let more = cut(&mut found.hits, query.limit);
    let kvs = if built_from_index {
        let keys = found.keys.freeze();
        found
            .hits
            .iter()
            .map(|hit| keys.slice(hit.key_pair.0..hit.key_pair.1))
            .collect()
    } else {
        source.records(
            &found
                .hits
                .iter()
                .map(|hit| hit.change.revision())
                .collect::<Vec<_>>(),
        )?
    };
    Ok(RangeResult {
        kvs,
        more,
        count: found.count,
        revision: 0,
    })
}

/// The pair of one key: one look into the index and one record.
fn run_one(
    index: &RwLock<TreeIndex>,
    source: &impl RecordSource,
    main: i64,
    key: &[u8],
) -> Result<RangeResult, Error> {
    let Some(change) = index.read().alive_at(key, main) else {
        return Ok(RangeResult::default());
    };
    let kvs = vec![source.record(change.revision())?];
    Ok(RangeResult {
        kvs,
        more: false,
        count: 1,
        revision: 0,
    })
}

/// Keys of `range` alive at `main`.
fn count(index: &RwLock<TreeIndex>, main: i64, range: &KeyRange) -> i64 {
    let mut count = 0;
    for_each_alive(index, range, main, |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

/// A key that passed the filters.
struct Hit {
    change: Change,
    /// Start and end of its pair in [`Found::keys`], if those are built.
    key_pair: (usize, usize),
}

/// What the walk over the index found.
struct Found {
    hits: Vec<Hit>,
    /// Pairs without value, encoded one after the other.
    keys: BytesMut,
    count: i64,
}

impl Found {
    fn collect(
        index: &RwLock<TreeIndex>,
        main: i64,
        query: &RangeQuery,
        builds_keys: bool,
    ) -> Self {
        let mut found = Self {
            hits: Vec::new(),
            keys: BytesMut::new(),
            count: 0,
        };
        let collect_max = query.collect_max();
        for_each_alive(index, &query.range, main, |key, change| {
            found.count += 1;
            if found.hits.len() < collect_max && query.accepts(change) {
                let start = found.keys.len();
                if builds_keys {
                    keys_only_fields(key, change).encode(&mut found.keys);
                }
                found.hits.push(Hit {
                    change,
                    key_pair: (start, found.keys.len()),
                });
            }
            if !query.counts && found.hits.len() >= collect_max {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found
    }
}

/// A pair as the index knows it: neither value nor lease.
fn keys_only_fields(key: &[u8], change: Change) -> Fields<'_> {
    Fields {
        key,
        create_revision: change.create_revision(),
        mod_revision: change.main(),
        version: change.version(),
        value: &[],
        lease: 0,
    }
}

/// Sorting by value needs every record before the limit.
fn by_value(
    source: &impl RecordSource,
    query: &RangeQuery,
    found: Found,
) -> Result<RangeResult, Error> {
    let revisions: Vec<Revision> = found.hits.iter().map(|hit| hit.change.revision()).collect();
    let mut records = source
        .records(&revisions)?
        .into_iter()
        .map(Record::decode)
        .collect::<Result<Vec<_>, Error>>()?;
    match query.sort_order {
        SortOrder::None | SortOrder::Ascend => {
            records.sort_by(|one, other| one.value_bytes().cmp(other.value_bytes()));
        }
        SortOrder::Descend => {
            records.sort_by(|one, other| other.value_bytes().cmp(one.value_bytes()));
        }
    }
    let more = cut(&mut records, query.limit);
    let kvs = records
        .iter()
        .map(|record| {
            if query.keys_only {
                record.encode_without_value()
            } else {
                record.encoded().clone()
            }
        })
        .collect();
    Ok(RangeResult {
        kvs,
        more,
        count: found.count,
        revision: 0,
    })
}

/// Orders hits by a field that the index knows.
fn sort(hits: &mut [Hit], query: &RangeQuery) {
    let field = |hit: &Hit| match query.sort_target {
        SortTarget::Version => hit.change.version(),
        SortTarget::Create => hit.change.create_revision(),
        SortTarget::Mod => hit.change.main(),
        SortTarget::Key | SortTarget::Value => 0,
    };
    match (query.sort_target, query.sort_order) {
        (SortTarget::Key, SortOrder::Descend) => hits.reverse(),
        (SortTarget::Key, _) => {}
        (_, SortOrder::Descend) => hits.sort_by_key(|hit| std::cmp::Reverse(field(hit))),
        _ => hits.sort_by_key(field),
    }
}

/// Cuts to a positive limit; answers whether anything was cut off.
fn cut<T>(items: &mut Vec<T>, limit: i64) -> bool {
    match usize::try_from(limit) {
        Ok(limit) if limit > 0 && items.len() > limit => {
            items.truncate(limit);
            true
        }
        _ => false,
    }
}
