//! Clients of other languages against a cluster of three.
//!
//! Each client is set up in `target/interop/` on first use, from the ordinary
//! package registries of its language, and then runs its own check program
//! from `tests/interop/`. `etcdctl` is compared line by line with what it
//! prints against the reference server, reading and writing (`ctl`) and taking care
//! of the cluster (`care`). `etcd_files` carries a store from the reference server to
//! Quoin and back.

pub mod care;
pub mod ctl;
pub mod etcd_files;
pub mod languages;
pub mod normalise;
