//! Writes: random keys or one after another, or each key once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use quoin_proto::etcdserverpb::PutRequest;

use crate::{
    connection::{Call, Frames},
    random::{Random, Values},
    workload::{keys::Keys, unary::Requests},
};

/// Start of the values' randomness: the same in every run.
const VALUES_SEED: u64 = 0x7175_6f69;

/// Puts of keys out of a space.
#[derive(Clone, Debug)]
pub struct Puts {
    keys: Keys,
    values: Values,
    /// The next key of all clients, if keys follow each other.
    sequence: Option<Arc<AtomicU64>>,
}

impl Puts {
    /// Random keys, or in order if `sequential`.
    #[must_use]
    pub fn new(keys: Keys, value_bytes: usize, sequential: bool) -> Self {
        Self {
            keys,
            values: Values::new(value_bytes, VALUES_SEED),
            sequence: sequential.then(Arc::default),
        }
    }
}

impl Requests for Puts {
    fn call(&self) -> Call {
        Call::Put
    }

    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes> {
        let key = match &self.sequence {
            Some(next) => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                self.keys.name(number % self.keys.keys_count)
            }
            None => self.keys.random(random),
        };
        let value = self.values.value(random);
        Some(put(frames, &key, value))
    }
}

/// Puts of every key of a space, once among all clients.
#[derive(Clone, Debug)]
pub struct Fill {
    keys: Keys,
    values: Values,
    next: Arc<AtomicU64>,
}

impl Fill {
    /// Nothing written yet.
    #[must_use]
    pub fn new(keys: Keys, value_bytes: usize) -> Self {
        Self {
            keys,
            values: Values::new(value_bytes, VALUES_SEED),
            next: Arc::default(),
        }
    }
}

impl Requests for Fill {
    fn call(&self) -> Call {
        Call::Put
    }

    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let value = self.values.value(random);
        (number < self.keys.keys_count).then(|| put(frames, &self.keys.name(number), value))
    }
}

/// A framed put.
pub(super) fn put(frames: &mut Frames, key: &[u8], value: Bytes) -> Bytes {
    let key = frames.bytes(key);
    frames.frame(&PutRequest {
        key,
        value,
        ..PutRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::workload::keys::Prefix;

    #[test]
    fn a_fill_writes_every_key_once() {
        let keys = Keys::new(Prefix::Written, 3);
        let mut one = Fill::new(keys, 8);
        let mut two = one.clone();
        let (mut frames, mut random) = (Frames::default(), Random::new(1));
        let mut seen = Vec::new();
        while let Some(frame) = one.next(&mut frames, &mut random) {
            seen.push(PutRequest::decode(&frame[5..]).unwrap().key);
            seen.extend(
                two.next(&mut frames, &mut random)
                    .map(|frame| PutRequest::decode(&frame[5..]).unwrap().key),
            );
        }
        assert_eq!(seen, [0, 1, 2].map(|number| keys.name(number).to_vec()));
    }
}
