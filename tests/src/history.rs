//! What clients were promised: the writes a server acknowledged.
//!
//! Writers record a write before they send it and again when it is
//! acknowledged. After a crash every acknowledged write must be there with its
//! value, and nothing may be there that was never sent. An unacknowledged
//! write may or may not be.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// One key's write: keys are written once each, so there is nothing to order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    value: String,
    acknowledged: bool,
}

/// Writes sent and writes acknowledged, by key. Shared by all writers.
#[derive(Debug, Default)]
pub struct History {
    /// Held for one map operation at a time.
    writes: Mutex<BTreeMap<String, Write>>,
}

impl History {
    /// A write is about to be sent.
    pub fn sent(&self, key: &str, value: &str) {
        let write = Write {
            value: value.to_owned(),
            acknowledged: false,
        };
        self.lock().insert(key.to_owned(), write);
    }

    /// The server said that the write is done.
    pub fn acknowledged(&self, key: &str) {
        if let Some(write) = self.lock().get_mut(key) {
            write.acknowledged = true;
        }
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged_count(&self) -> usize {
        self.lock()
            .values()
            .filter(|write| write.acknowledged)
            .count()
    }

    /// Compares with what a server holds; returns every broken promise.
    #[must_use]
    pub fn broken_promises(&self, found: &BTreeMap<String, String>) -> Vec<String> {
        let writes = self.lock();
        let mut broken = Vec::new();
        for (key, write) in writes.iter() {
            match found.get(key) {
                None if write.acknowledged => {
                    broken.push(format!("{key} was acknowledged, is lost"))
                }
                Some(value) if *value != write.value => {
                    broken.push(format!(
                        "{key} is {value:?}, was written as {:?}",
                        write.value
                    ));
                }
                _ => {}
            }
        }
        let invented = found.keys().filter(|key| !writes.contains_key(*key));
        broken.extend(invented.map(|key| format!("{key} was never written")));
        broken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Write>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_acknowledged_writes_must_be_found() {
        let history = History::default();
        history.sent("a", "1");
        history.sent("b", "2");
        history.acknowledged("a");
        let one = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(history.broken_promises(&one), Vec::<String>::new());
        assert_eq!(history.broken_promises(&BTreeMap::new()).len(), 1);
        let other = BTreeMap::from([
            ("a".to_owned(), "9".to_owned()),
            ("z".to_owned(), String::new()),
        ]);
        assert_eq!(history.broken_promises(&other).len(), 2);
        assert_eq!(history.acknowledged_count(), 1);
    }
}
