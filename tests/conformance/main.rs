//! Recorded calls of the reference server, replayed on Quoin.
//!
//! One test per area; each starts a fresh server. How to record, replay and
//! read a difference: docs/TESTING.md.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

mod replay;
