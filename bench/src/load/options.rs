//! How a load is put on a cluster.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How a load is put on a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Client addresses of the members; connections are spread over them.
    pub endpoints: Vec<SocketAddr>,
    /// Clients, each with at most one request in flight.
    pub clients_count: usize,
    /// Connections that the clients share; never more than clients.
    pub connections_count: usize,
    /// Threads of the generator.
    pub threads_count: usize,
    /// Requests per second of all clients; `None` is a closed loop.
    pub rate: Option<f64>,
    /// Time before measuring.
    pub warm_up: Duration,
    /// Measured time; `None` for a workload that ends by itself.
    pub duration: Option<Duration>,
    /// Server processes to sample.
    pub pids: Vec<u32>,
    /// Folder of the servers' data, to sample its device.
    pub folder: Option<PathBuf>,
    /// Start of the random sequences.
    pub seed: u64,
}

impl Options {
    /// A workload that ends by itself, as fast as it goes, and without samples.
    #[must_use]
    pub const fn to_the_end(
        endpoints: Vec<SocketAddr>,
        clients_count: usize,
        connections_count: usize,
        seed: u64,
    ) -> Self {
        Self {
            endpoints,
            clients_count,
            connections_count,
            threads_count: 1,
            rate: None,
            warm_up: Duration::ZERO,
            duration: None,
            pids: Vec::new(),
            folder: None,
            seed,
        }
    }
}
