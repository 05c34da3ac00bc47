//! Recorded calls: scripts, traces, and the player of both.
//!
//! A script (`testdata/conformance/scripts/<area>.txt`) lists calls, one rule
//! after the other. Recording plays it against the reference server and
//! stores every reply as a trace (`testdata/conformance/<area>.json`); replay
//! plays the trace's calls against another server and compares. Messages are
//! handled by descriptor, so any field of any call can be set, also to values
//! that no client would send.

pub mod client;
pub mod expand;
pub mod message;
pub mod normalise;
pub mod player;
pub mod script;
pub mod suite;
pub mod trace;
