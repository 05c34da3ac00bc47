//! Parts without domain knowledge that two or more layers use.

pub mod key_range;
pub mod revision;
pub mod task_set;
