//! The quoin server.

pub mod backend;
pub mod base;
pub mod bbolt;
pub mod config;
pub mod etcd_file;
pub mod lease;
pub mod listener;
pub mod local;
pub mod mvcc;
pub mod offline;
pub mod ops;
pub mod process;
pub mod service;
pub mod telemetry;
pub mod watch;

mod agreement;
mod alarm;
mod apply;
pub mod bootstrap;
mod cluster;
mod duties;
mod proposal;

#[doc(hidden)]
pub use proposal::Coalescing;
