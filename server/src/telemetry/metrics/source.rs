//! Numbers that other parts keep, read when a scrape comes.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// It only grows.
    Counter,
    /// It goes both ways.
    Gauge,
}

/// A histogram as somebody else keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramReading {
    /// Upper bound in seconds and observations of each bucket, ascending; not
    /// cumulative.
    pub buckets: Vec<(f64, u64)>,
    /// Observations above the last bound.
    pub above_count: u64,
    /// Sum of all observations in seconds.
    pub sum_seconds: f64,
}

/// A reader with its name.
pub(super) struct Source {
    name: String,
    help: String,
    labels: Vec<(String, String)>,
    read: Read,
}

enum Read {
    Number(SourceKind, Box<dyn Fn() -> f64 + Send + Sync>),
    Histogram(Box<dyn Fn() -> HistogramReading + Send + Sync>),
}

impl Source {
    pub(super) fn number(
        kind: SourceKind,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            labels: owned(labels),
            read: Read::Number(kind, read),
        }
    }

    pub(super) fn histogram(
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: Box<dyn Fn() -> HistogramReading + Send + Sync>,
    ) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            labels: owned(labels),
            read: Read::Histogram(read),
        }
    }

    /// Adds the reading to the family of its name, made if there is none.
    pub(super) fn collect_into(&self, families: &mut Vec<MetricFamily>) {
        let (kind, metric) = match &self.read {
            Read::Number(kind, read) => number_metric(*kind, read()),
            Read::Histogram(read) => (MetricType::HISTOGRAM, histogram_metric(&read())),
        };
        push(families, &self.name, &self.help, kind, &self.labels, metric);
    }
}

/// A number as a metric of its type.
pub(super) fn number_metric(kind: SourceKind, value: f64) -> (MetricType, Metric) {
    let mut metric = Metric::default();
    match kind {
        SourceKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
            (MetricType::COUNTER, metric)
        }
        SourceKind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
            (MetricType::GAUGE, metric)
        }
    }
}

/// Appends a metric to the family of its name.
pub(super) fn push(
    families: &mut Vec<MetricFamily>,
    name: &str,
    help: &str,
    kind: MetricType,
    labels: &[(String, String)],
    mut metric: Metric,
) {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    metric.set_label(pairs.collect());
    if let Some(family) = families.iter_mut().find(|family| family.name() == name) {
        family.mut_metric().push(metric);
        return;
    }
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    families.push(family);
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = labels.iter();
    pairs
        .map(|&(name, value)| (name.into(), value.into()))
        .collect()
}

fn histogram_metric(reading: &HistogramReading) -> Metric {
    let mut cumulative = 0;
    let buckets = reading.buckets.iter().map(|&(bound, count)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(cumulative + reading.above_count);
    histogram.set_sample_sum(reading.sum_seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}
