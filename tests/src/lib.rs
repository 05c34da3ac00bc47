//! The harness behind the suites of this package.
//!
//! Everything runs on real processes over real sockets: [`process`] owns one
//! child, [`cluster`] starts several members that know each other, [`wait`]
//! turns conditions into deadlines, [`history`] records what clients were
//! promised, [`checker`] judges what they saw, [`faults`] breaks clusters while they
//! look, [`conformance`] replays recorded calls. [`simulation`] alone runs members
//! without processes or real time. The library reports through [`Error`] and never
//! panics; the suites do that.

pub mod binaries;
pub mod checker;
pub mod cluster;
pub mod codegen;
pub mod conformance;
pub mod dns;
pub mod error;
pub mod faults;
pub mod golden;
pub mod history;
pub mod http;
pub mod interop;
pub mod members;
pub mod noise;
pub mod ports;
pub mod process;
mod readiness;
pub mod simulation;
pub mod upgrade;
pub mod wait;
pub mod wires;
pub mod workload;

pub use error::{Error, Result};
