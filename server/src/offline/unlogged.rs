//! States that no log of a running member stands behind.

use crate::backend::Durability;

/// There is no log that a checkpoint could be ahead of.
pub(super) struct Unlogged;

impl Durability for Unlogged {
    fn wait_durable(
        &self,
        _log_index: u64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}
