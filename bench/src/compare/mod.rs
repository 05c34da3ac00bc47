//! etcd and Quoin side by side on one machine.
//!
//! [`plan`] lists the works, [`round`] runs one system through them on a fresh
//! cluster, [`sample`] holds what one run of one work gave, [`statistics`]
//! makes medians and ratios of rounds, [`session`] alternates the systems.

pub mod plan;
pub mod round;
pub mod sample;
pub mod session;
pub mod statistics;
pub mod system;
