//! Faults on clusters of real processes, and a verdict on what clients saw.
//!
//! [`round`] runs one cluster through a seeded plan of faults ([`fault`]), carried
//! out by the [`nemesis`], while clients ([`client`], [`watcher`]) record what they
//! are told ([`recorder`]); [`verdict`] has [`crate::checker`] judge it, and
//! [`report`] writes it down. Nothing here knows which server it runs: etcd takes
//! the same flags.

pub mod addresses;
pub mod client;
pub mod fault;
pub mod nemesis;
pub mod recorder;
pub mod report;
pub mod round;
pub mod told;
pub mod verdict;
pub mod watcher;
pub mod wire;
