//! Named histograms as bars of text, for openraft's own reports.
//!
//! openraft builds a chart only for the statistics that a build with its feature
//! `runtime-stats` prints; Quoin's does not. It stays because openraft names it
//! in every build.

use std::fmt;

use crate::Histogram;

/// Histograms under names, to be printed below each other.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> AsciiChart<T> {
    /// A chart of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { series: Vec::new() }
    }

    /// This chart with one more histogram.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }

    /// One line per bucket that holds values.
    #[must_use]
    pub fn detailed(&self) -> DetailedDisplay<'_, T> {
        DetailedDisplay { chart: self }
    }
}

/// An [`AsciiChart`] with one line per bucket.
#[derive(Debug, Clone)]
pub struct DetailedDisplay<'a, T = ()> {
    chart: &'a AsciiChart<T>,
}

impl<T> fmt::Display for DetailedDisplay<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.chart.series {
            writeln!(f, "{name}: {}", histogram.total())?;
            let most = histogram.filled().map(|(.., count)| count).max();
            for (lowest, width, count) in histogram.filled() {
                let highest = lowest + (width - 1);
                let bar = bar_length(count, most.unwrap_or(count));
                writeln!(f, "{lowest:>20}..={highest:<20} {count:>20} {:#<bar$}", "")?;
            }
        }
        Ok(())
    }
}

/// Columns for `count` where `most` takes all; at least one.
fn bar_length(count: u64, most: u64) -> usize {
    let columns = u128::from(count) * BAR_COLUMNS / u128::from(most.max(1));
    usize::try_from(columns).unwrap_or(1).max(1)
}

/// Columns of the longest bar: a line stays below 128 columns.
const BAR_COLUMNS: u128 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_prints_a_line_per_bucket_that_holds_values() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(9, 30);
        histogram.record(2);
        let chart = AsciiChart::new()
            .add("filled", histogram)
            .add("empty", Histogram::new());
        let text = chart.detailed().to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let longest = "#".repeat(60);
        assert_eq!(
            lines,
            [
                vec!["filled:", "31"],
                vec!["2..=2", "1", "##"],
                vec!["8..=9", "30", longest.as_str()],
                vec!["empty:", "0"],
            ]
        );
    }
}
