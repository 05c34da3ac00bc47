//! Parts without domain knowledge that two or more layers use.

pub mod atomic_file;
pub mod error_chain;
pub mod interval_map;
pub mod key_range;
pub mod revision;
pub mod sharded_map;
pub mod task_set;
pub mod version;
