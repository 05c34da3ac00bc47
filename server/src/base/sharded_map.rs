//! A map from keys to values in 32 independently locked shards.
//!
//! Point lookups from several threads meet on one lock only if their keys fall
//! into the same shard. The shard is chosen by a checksum of the key, which is
//! cheap; within the shard the standard, collision-resistant hash is used, so a
//! client that picks keys for one shard gains a slower shard and nothing else.
//!
//! Closures run under the shard's lock: they must be short and must not enter
//! the same map again.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;

/// Shards; a power of two, several times the number of RPC threads.
const SHARDS_COUNT: usize = 32;

/// A sharded map keyed by byte strings.
#[derive(Debug)]
pub struct ShardedMap<V> {
    shards: [Mutex<HashMap<Bytes, V>>; SHARDS_COUNT],
}

impl<V> ShardedMap<V> {
    /// An empty map.
    pub fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }

    /// Runs `f` on the value of `key`, if there is one.
    pub fn with<R>(&self, key: &[u8], f: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.shard(key).lock().get_mut(key).map(f)
    }

    /// Runs `f` on the value of `key`, creating it by `V::default` if absent.
    pub fn with_or_default<R>(&self, key: &Bytes, f: impl FnOnce(&mut V) -> R) -> R
    where
        V: Default,
    {
        let mut shard = self.shard(key).lock();
        match shard.get_mut(key) {
            Some(value) => f(value),
            None => f(shard.entry(key.clone()).or_default()),
        }
    }

    /// Runs `f` on the value of `key`, if there is one, and removes it where `f`
    /// answers true.
    pub fn remove_if(&self, key: &[u8], f: impl FnOnce(&mut V) -> bool) {
        let mut shard = self.shard(key).lock();
        if shard.get_mut(key).is_some_and(f) {
            shard.remove(key);
        }
    }

    /// Runs `f` on every value, one shard after the other.
    pub fn for_each(&self, mut f: impl FnMut(&Bytes, &mut V)) {
        for shard in &self.shards {
            for (key, value) in shard.lock().iter_mut() {
                f(key, value);
            }
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &[u8]) -> &Mutex<HashMap<Bytes, V>> {
        &self.shards[crc32fast::hash(key) as usize % SHARDS_COUNT]
    }
}

impl<V> Default for ShardedMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_created_and_removed_by_key() {
        let map: ShardedMap<u32> = ShardedMap::new();
        for index in 0..1000u32 {
            let key = Bytes::from(format!("key-{index}"));
            map.with_or_default(&key, |value| *value += index);
        }
        assert_eq!(map.len(), 1000);
        assert_eq!(map.with(b"key-7", |value| *value), Some(7));
        map.remove_if(b"key-7", |_| false);
        assert_eq!(map.len(), 1000);
        map.remove_if(b"key-7", |_| true);
        assert_eq!(map.with(b"key-7", |value| *value), None);
        let mut sum = 0;
        map.for_each(|_, value| sum += *value);
        assert_eq!(sum, 999 * 500 - 7);
        assert!(!map.is_empty());
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let map: ShardedMap<()> = ShardedMap::new();
        for index in 0..3200 {
            map.with_or_default(&Bytes::from(format!("/registry/pods/{index}")), |()| ());
        }
        let fullest = map.shards.iter().map(|shard| shard.lock().len()).max();
        assert!(fullest.is_some_and(|count| count < 300), "{fullest:?}");
    }
}
