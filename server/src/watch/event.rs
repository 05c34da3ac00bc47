//! The events of one revision, encoded once for all watchers.
//!
//! Each event has at most two encodings as `mvccpb.Event`: as it is, and with
//! the previous pair. Each is made when the first watcher needs it and then
//! shared. The previous pair is looked up by whoever may block; until that has
//! happened, the second encoding is simply not there.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::mvcc::{Event, EventKind};

use super::history::{History, HistoryError};

/// One revision and everything that changed in it.
#[derive(Debug)]
pub(super) struct RevisionEvents {
    /// The main revision.
    pub(super) revision: i64,
    /// In order of the sub revision.
    events: Arc<[Event]>,
    /// Parallel to `events`.
    encodings: Box<[Encodings]>,
    /// Bytes of the records: what the revision weighs in a bounded queue.
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
struct Encodings {
    plain: OnceLock<Bytes>,
    with_previous: OnceLock<Bytes>,
}

impl RevisionEvents {
    pub(super) fn new(revision: i64, events: Arc<[Event]>) -> Self {
        let bytes = events
            .iter()
            .map(|event| event.key.len() + event.record.len())
            .sum();
        let encodings = events.iter().map(|_| Encodings::default()).collect();
        Self {
            revision,
            events,
            encodings,
            bytes,
        }
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The event as it is.
    pub(super) fn plain(&self, index: usize) -> Bytes {
        let encode = || encode(&self.events[index], None);
        self.encodings[index].plain.get_or_init(encode).clone()
    }

    /// The event with the previous pair, if that was looked up already or is
    /// known not to exist.
    pub(super) fn with_previous(&self, index: usize) -> Option<Bytes> {
        if is_creation(&self.events[index], self.revision) {
            return Some(self.plain(index));
        }
        self.encodings[index].with_previous.get().cloned()
    }

    /// The event with the previous pair, looked up now if need be. May block.
    pub(super) fn resolve_previous(&self, index: usize, history: &dyn History) -> Bytes {
        if let Some(known) = self.with_previous(index) {
            return known;
        }
        let event = &self.events[index];
        let encoded = match history.key_value(&event.key, self.revision - 1) {
            Ok(Some(previous)) => encode(event, Some(&previous)),
            Ok(None) | Err(HistoryError::Compacted) => self.plain(index),
            Err(error) => {
                tracing::error!(revision = self.revision, %error, "previous pair is unreadable");
                self.plain(index)
            }
        };
        self.encodings[index]
            .with_previous
            .get_or_init(|| encoded)
            .clone()
    }
}

/// A put of a key that did not exist has no previous pair.
fn is_creation(event: &Event, revision: i64) -> bool {
    event.kind == EventKind::Put && event.create_revision == revision
}

/// Encodes `mvccpb.Event`: type = 1, kv = 2, prev_kv = 3.
fn encode(event: &Event, previous: Option<&Bytes>) -> Bytes {
    const TYPE_TAG: u8 = 1 << 3;
    const KV_TAG: u8 = (2 << 3) | 2;
    const PREV_KV_TAG: u8 = (3 << 3) | 2;
    const DELETE: u8 = 1;

    let message_len =
        |message: &Bytes| 1 + encoded_len_varint(message.len() as u64) + message.len();
    let len = 2 + message_len(&event.record) + previous.map_or(0, message_len);
    let mut buffer = BytesMut::with_capacity(len);
    if event.kind == EventKind::Delete {
        buffer.put_slice(&[TYPE_TAG, DELETE]);
    }
    buffer.put_u8(KV_TAG);
    encode_varint(event.record.len() as u64, &mut buffer);
    buffer.put_slice(&event.record);
    if let Some(previous) = previous {
        buffer.put_u8(PREV_KV_TAG);
        encode_varint(previous.len() as u64, &mut buffer);
        buffer.put_slice(previous);
    }
    buffer.freeze()
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use quoin_proto::mvccpb;

    use super::super::testing::{MemoryHistory, pair};
    use super::*;

    fn decode(bytes: Bytes) -> mvccpb::Event {
        mvccpb::Event::decode(bytes).unwrap()
    }

    #[test]
    fn an_event_reads_as_the_api_message() {
        let history = MemoryHistory::new();
        history.put("k", "one");
        let (_, put) = history.put("k", "two");
        let (_, delete) = history.delete("k");
        let put = RevisionEvents::new(3, put);
        let event = decode(put.plain(0));
        assert_eq!(event.r#type(), mvccpb::event::EventType::Put);
        assert_eq!(event.kv, Some(pair("k", "two", 2, 3, 2)));
        assert_eq!(event.prev_kv, None);
        let event = decode(put.resolve_previous(0, &*history));
        assert_eq!(event.kv, Some(pair("k", "two", 2, 3, 2)));
        assert_eq!(event.prev_kv, Some(pair("k", "one", 2, 2, 1)));

        let delete = RevisionEvents::new(4, delete);
        let event = decode(delete.resolve_previous(0, &*history));
        assert_eq!(event.r#type(), mvccpb::event::EventType::Delete);
        assert_eq!(event.kv, Some(pair("k", "", 0, 4, 0)));
        assert_eq!(event.prev_kv, Some(pair("k", "two", 2, 3, 2)));
    }

    #[test]
    fn each_encoding_is_made_once_and_shared() {
        let history = MemoryHistory::new();
        history.put("k", "one");
        let (revision, events) = history.put("k", "two");
        let shared = RevisionEvents::new(revision, events);
        assert_eq!(shared.with_previous(0), None);
        assert_eq!(shared.plain(0).as_ptr(), shared.plain(0).as_ptr());
        let resolved = shared.resolve_previous(0, &*history);
        assert_eq!(
            shared.with_previous(0).map(|bytes| bytes.as_ptr()),
            Some(resolved.as_ptr())
        );
    }

    #[test]
    fn a_creation_and_a_compacted_predecessor_have_no_previous_pair() {
        let history = MemoryHistory::new();
        let (revision, created) = history.put("k", "one");
        let created = RevisionEvents::new(revision, created);
        assert_eq!(created.with_previous(0), Some(created.plain(0)));
        let (revision, changed) = history.put("k", "two");
        history.compact(revision);
        let changed = RevisionEvents::new(revision, changed);
        assert_eq!(decode(changed.resolve_previous(0, &*history)).prev_kv, None);
    }
}
