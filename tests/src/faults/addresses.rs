//! Where the members of a round serve clients, while members come and go.

use std::sync::{Arc, PoisonError, RwLock};

/// Client URLs, in turn. Clones are the same.
#[derive(Clone, Debug)]
pub struct Addresses(Arc<RwLock<Vec<String>>>);

impl Addresses {
    /// Of members at `urls`.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self(Arc::new(RwLock::new(urls)))
    }

    /// The URL that is at `turn`, counted round and round; none is the empty text.
    #[must_use]
    pub fn url(&self, turn: usize) -> String {
        let urls = self.0.read().unwrap_or_else(PoisonError::into_inner);
        urls.get(turn % urls.len().max(1))
            .cloned()
            .unwrap_or_default()
    }

    /// All URLs.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Members came or went.
    pub fn set(&self, urls: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = urls;
    }
}
