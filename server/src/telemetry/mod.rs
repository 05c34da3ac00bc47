//! What the server says about itself: log lines, metrics, profiles.

pub mod logs;
pub mod metrics;
pub(crate) mod profile;
