//! etcd and Quoin side by side on one machine.
//!
//! [`plan`] lists the [`work`]s in stages and [`targets`] what they must show;
//! [`round`] runs one system through a stage on a fresh [`deployment`],
//! [`loaded`] the stage with many keys, [`growth`] Quoin alone on much data.
//! [`sample`] holds the figures ([`metric`]) that one run of one work gave,
//! [`reuse`] what its buffer pools did, [`statistics`] makes medians and ratios
//! of rounds, [`session`] alternates the systems.

pub mod deployment;
pub mod growth;
pub mod loaded;
pub mod metric;
pub mod plan;
pub mod reuse;
pub mod round;
pub mod sample;
pub mod session;
pub mod statistics;
pub mod system;
pub mod targets;
pub mod work;
