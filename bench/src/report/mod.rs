//! What a comparison found, for readers: a page of tables, and plots.
//!
//! [`page`] puts the parts in order: [`facts`], [`verdicts`], [`works`],
//! [`sweep`], [`growth`], [`starts`]. [`series`] has one work's figures over the rounds,
//! [`text`] writes figures. [`plot`] and [`sweep_plot`] draw with [`svg`].

pub mod page;
pub mod series;

mod axes;
mod facts;
mod growth;
mod plot;
mod plots;
mod starts;
mod svg;
mod sweep;
mod sweep_plot;
mod text;
mod verdicts;
mod works;

pub use plots::plots;

/// Name of the page's file.
pub const PAGE: &str = "compare.md";

/// Name of the plot of latencies.
const LATENCIES: &str = "compare.svg";

/// Name of the plot of throughput and latency against offered load.
const SWEEP: &str = "load.svg";
