//! Histograms over base-2 logarithmic buckets, as openraft names them.
//!
//! openraft counts batch sizes and budgets with the crate `base2histogram`, whose
//! release 0.2.3 builds tables for all 16 of its resolutions at the first use:
//! 26.8 MB of heap in every member, for statistics that Quoin never prints. This
//! crate takes its place (`[patch.crates-io]` in the workspace) with the API that
//! openraft 0.10.0-alpha.37 calls and nothing more: no tables, one resolution,
//! and no allocation before the first value. An openraft that calls more does
//! not compile, which is the moment to look again.

mod ascii_chart;
mod bucket;
mod histogram;
mod percentile_stats;

pub use ascii_chart::{AsciiChart, DetailedDisplay};
pub use histogram::Histogram;
pub use percentile_stats::PercentileStats;
