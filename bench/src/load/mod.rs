//! Runs the clients of one load and measures everyone who pays for it.
//!
//! Each thread has a single-threaded runtime, its own connections and its share
//! of the clients ([`share`]); threads meet only in the phase they read. The
//! caller's thread moves the phase on ([`run`]) and samples every process at
//! the edges of the measured time ([`outcome`]).

mod client;
mod options;
mod outcome;
mod run;
mod share;

pub use client::Client;
pub use options::Options;
pub use outcome::{DeviceCount, Outcome};
pub use run::run;
