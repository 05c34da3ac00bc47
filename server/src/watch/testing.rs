//! A store in memory for the tests of this module: a list of revisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use quoin_proto::mvccpb::KeyValue;

use crate::base::key_range::KeyRangeUnion;
use crate::base::revision::Revision;
use crate::mvcc::{Event, EventKind};

use super::history::{Changes, ChangesLimits, History, HistoryError};

/// One change of a transaction: a put with a value, or a deletion without.
pub(crate) type Change<'a> = (&'a str, Option<&'a str>);

/// A revision and its events, as apply publishes them.
pub(crate) type Committed = (i64, Arc<[Event]>);

/// Every revision ever written, and how far they are compacted.
#[derive(Debug)]
pub(crate) struct MemoryHistory {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    compact_revision: i64,
    /// Events of revision 2 and on.
    revisions: Vec<Arc<[Event]>>,
    alive: BTreeMap<Bytes, KeyValue>,
    /// The next reads to fail, for tests of that.
    is_broken: bool,
}

impl MemoryHistory {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            compact_revision: -1,
            revisions: Vec::new(),
            alive: BTreeMap::new(),
            is_broken: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> Committed {
        self.write(&[(key, Some(value))])
    }

    pub(crate) fn delete(&self, key: &str) -> Committed {
        self.write(&[(key, None)])
    }

    /// One transaction; a deletion of an absent key is an error of the test.
    pub(crate) fn write(&self, changes: &[Change<'_>]) -> Committed {
        let mut state = self.state.lock();
        let main = state.revision() + 1;
        let mut events = Vec::new();
        for (sub, (key, value)) in changes.iter().enumerate() {
            let key = Bytes::copy_from_slice(key.as_bytes());
            let old = state.alive.remove(&key);
            let (kind, pair) = match value {
                Some(value) => {
                    let new = KeyValue {
                        key: key.clone(),
                        value: Bytes::copy_from_slice(value.as_bytes()),
                        create_revision: old.as_ref().map_or(main, |old| old.create_revision),
                        version: old.as_ref().map_or(1, |old| old.version + 1),
                        mod_revision: main,
                        lease: 0,
                    };
                    state.alive.insert(key.clone(), new.clone());
                    (EventKind::Put, new)
                }
                None => {
                    assert!(old.is_some(), "deleted an absent key");
                    let key = key.clone();
                    (
                        EventKind::Delete,
                        KeyValue {
                            key,
                            mod_revision: main,
                            ..KeyValue::default()
                        },
                    )
                }
            };
            events.push(Event {
                kind,
                key,
                record: pair.encode_to_vec().into(),
                revision: Revision {
                    main,
                    sub: i64::try_from(sub).unwrap(),
                },
                create_revision: pair.create_revision,
                version: pair.version,
                lease: 0,
                previous_lease: 0,
            });
        }
        let events: Arc<[Event]> = events.into();
        state.revisions.push(Arc::clone(&events));
        (main, events)
    }

    pub(crate) fn compact(&self, revision: i64) {
        self.state.lock().compact_revision = revision;
    }

    /// Lets every further read fail.
    pub(crate) fn break_reads(&self) {
        self.state.lock().is_broken = true;
    }

    /// All events of revision `from` and later.
    pub(crate) fn since(&self, from: i64) -> Vec<Committed> {
        let state = self.state.lock();
        (2..)
            .zip(&state.revisions)
            .skip_while(|(revision, _)| *revision < from)
            .map(|(revision, events)| (revision, Arc::clone(events)))
            .collect()
    }

    /// The pair of `key` just before `revision`, compacted or not.
    pub(crate) fn value_before(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        self.state.lock().value_at(key, revision - 1)
    }

    pub(crate) fn is_alive(&self, key: &str) -> bool {
        self.state.lock().alive.contains_key(key.as_bytes())
    }
}

impl State {
    fn revision(&self) -> i64 {
        1 + i64::try_from(self.revisions.len()).unwrap()
    }

    fn value_at(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        let count = usize::try_from(revision - 1).unwrap();
        let changes = self
            .revisions
            .iter()
            .take(count)
            .flat_map(|events| events.iter());
        let last = changes.filter(|event| event.key == key).last();
        last.filter(|event| event.kind == EventKind::Put)
            .map(|event| event.record.clone())
    }
}

impl History for MemoryHistory {
    fn revision(&self) -> i64 {
        self.state.lock().revision()
    }

    fn compact_revision(&self) -> i64 {
        self.state.lock().compact_revision
    }

    fn changes(
        &self,
        from: i64,
        to: i64,
        keys: &KeyRangeUnion,
        limits: ChangesLimits,
    ) -> Result<Changes, HistoryError> {
        {
            let state = self.state.lock();
            if state.is_broken {
                return Err(HistoryError::Failed("broken".into()));
            }
            if from < state.compact_revision {
                return Err(HistoryError::Compacted);
            }
        }
        let mut changes = Changes {
            next: to + 1,
            revisions: Vec::new(),
        };
        let mut bytes = 0;
        for (revision, events) in self.since(from) {
            if revision > to {
                break;
            }
            let is_full =
                changes.revisions.len() >= limits.revisions_max || bytes >= limits.bytes_max;
            if is_full && !changes.revisions.is_empty() {
                changes.next = revision;
                break;
            }
            let wanted: Vec<Event> = events
                .iter()
                .filter(|event| keys.contains(&event.key))
                .cloned()
                .collect();
            bytes += wanted.iter().map(|event| event.record.len()).sum::<usize>();
            if !wanted.is_empty() {
                changes.revisions.push((revision, wanted));
            }
        }
        Ok(changes)
    }

    fn key_value(&self, key: &[u8], revision: i64) -> Result<Option<Bytes>, HistoryError> {
        let state = self.state.lock();
        if state.is_broken {
            return Err(HistoryError::Failed("broken".into()));
        }
        if revision < state.compact_revision {
            return Err(HistoryError::Compacted);
        }
        let count = usize::try_from(revision - 1).unwrap();
        let changes = state
            .revisions
            .iter()
            .take(count)
            .flat_map(|events| events.iter());
        let last = changes.filter(|event| event.key == key).last();
        Ok(last
            .filter(|event| event.kind == EventKind::Put)
            .map(|event| event.record.clone()))
    }
}

/// A stored pair as the API shows it.
pub(crate) fn pair(
    key: &'static str,
    value: &'static str,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
) -> KeyValue {
    KeyValue {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
        create_revision,
        mod_revision,
        version,
        lease: 0,
    }
}
