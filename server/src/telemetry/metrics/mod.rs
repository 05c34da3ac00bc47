//! Metrics under etcd's names.

use prometheus::Registry;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A fresh set, all zero.
    ///
    /// # Errors
    /// Two metrics of one name: a programming error.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            registry: Registry::new(),
        })
    }

    /// The registry, for further collectors.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
