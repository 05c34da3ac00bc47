//! What a comparison found, for readers: a page of tables and a plot.

pub mod markdown;
pub mod plot;
pub mod series;
