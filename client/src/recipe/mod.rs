//! Recipes: what can be built of keys, leases and watches.

mod mutex;

pub use mutex::{Mutex, MutexGuard};
