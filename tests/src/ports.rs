//! Ports for members, below the range the kernel picks from.
//!
//! A member keeps its ports over restarts. Were they ephemeral ones, another
//! process's outgoing connection could take a port while its member is down.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use rand::RngExt;

use crate::{Error, Result};

/// From 12000, clear of well-known services, to below 32768, where Linux
/// starts to pick ports for outgoing connections.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// Tries before giving up: far more than ports in use.
const TRIES: usize = 1_000;

/// A port that nobody listens on and that this process has not handed out.
///
/// # Errors
/// None was found.
pub fn free() -> Result<u16> {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut random = rand::rng();
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES {
        let port = random.random_range(RANGE);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && taken.insert(port) {
            return Ok(port);
        }
    }
    Err(Error::malformed("ports", "no free port"))
}
