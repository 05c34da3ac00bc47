//! How often buffer pools had what was asked for, from `/metrics`.

use std::net::SocketAddr;

use crate::scrape;

/// Counters of pools, as hits or gets and misses.
const POOLS: [(&str, &str, Counted, &str); 2] = [
    (
        "entry buffers",
        "quoin_entry_pool_gets_total",
        Counted::All,
        "quoin_entry_pool_misses_total",
    ),
    (
        "WAL buffers",
        "quoin_wal_buffer_hits_total",
        Counted::Hits,
        "quoin_wal_buffer_misses_total",
    ),
];

/// What a pool's first counter counts.
#[derive(Clone, Copy, Debug)]
enum Counted {
    /// Every request.
    All,
    /// Requests that were served from the pool.
    Hits,
}

/// How often a pool had what was asked for.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// Which pool.
    pub pool: &'static str,
    /// Members of the cluster.
    pub members_count: usize,
    /// Requests, all members together.
    pub gets_count: f64,
    /// Requests that had to allocate.
    pub misses_count: f64,
}

impl Reuse {
    /// Of the members at `endpoints`, where they export such counters.
    pub async fn of(endpoints: &[SocketAddr]) -> Vec<Self> {
        let mut pages = Vec::new();
        for endpoint in endpoints {
            pages.extend(scrape::metrics(*endpoint).await);
        }
        let sum = |name| -> Option<f64> {
            let values = pages.iter().filter_map(|page| scrape::value(page, name));
            values.reduce(|one, two| one + two)
        };
        let pools = POOLS.iter().filter_map(|(pool, first, counted, misses)| {
            let (first, misses_count) = (sum(first)?, sum(misses)?);
            Some(Self {
                pool,
                members_count: endpoints.len(),
                gets_count: match counted {
                    Counted::All => first,
                    Counted::Hits => first + misses_count,
                },
                misses_count,
            })
        });
        pools.collect()
    }
}
