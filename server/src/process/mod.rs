//! The process around a server: what it says at start, how it is told to end.
//!
//! Used by `main` only. Nothing here knows the server's inside.

mod announce;
mod descriptors;
mod readiness;
mod signals;

pub use announce::announce;
pub use descriptors::{DescriptorsError, raise_limit};
pub use readiness::notify_ready;
pub use signals::{Signals, TerminationSignal};
