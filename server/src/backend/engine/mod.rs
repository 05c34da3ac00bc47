//! Engines: who keeps blocks and pages on disk.

/// Which engine keeps the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// sled 1.0 alpha: the default.
    #[default]
    Sled,
    /// redb 4: one file, checksummed pages.
    Redb,
    /// Nothing survives the process: for tests.
    Memory,
}
