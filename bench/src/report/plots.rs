//! The plots and their files' names.

use crate::{
    compare::session::Session,
    report::{LATENCIES, SWEEP, plot, sweep_plot},
};

/// Every plot that there is something to show in, with its file's name.
#[must_use]
pub fn plots(session: &Session) -> Vec<(&'static str, String)> {
    let plots = [
        (LATENCIES, plot::render(session)),
        (SWEEP, sweep_plot::render(session)),
    ];
    let present = plots
        .into_iter()
        .filter_map(|(name, plot)| Some((name, plot?)));
    present.collect()
}
