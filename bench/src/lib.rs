//! Load generator for any endpoint that speaks the etcd v3 API, and a
//! side-by-side comparison with etcd itself.
//!
//! It shares the machine with the servers it measures, so its own cost per
//! request is kept low and reported: [`connection`] speaks HTTP/2 directly and
//! sends messages framed once; [`load`] runs clients on single-threaded
//! runtimes; [`recorder`] keeps one histogram per thread. [`workload`] says
//! what a client does, [`arrivals`] when. [`usage`] reads what each server
//! process spent. [`compare`] starts two systems in turn and [`report`] writes
//! what came out.

pub mod arrivals;
pub mod commands;
pub mod compaction;
pub mod compare;
pub mod connection;
pub mod error;
pub mod flags;
pub mod load;
pub mod machine;
pub mod progress;
pub mod random;
pub mod ready;
pub mod recorder;
pub mod report;
pub mod scrape;
pub mod usage;
pub mod workload;

pub use error::{Error, Result};
