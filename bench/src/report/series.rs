//! Figures of one work over the rounds of both systems.

use hdrhistogram::Histogram;

use crate::compare::{
    metric::Metric, sample::Sample, session::Session, statistics::Spread, work::Work,
};

/// One work's samples, round by round; rounds in which either system has no
/// sample are left out of ratios.
#[derive(Debug)]
pub struct Series<'a> {
    samples: [Vec<Option<&'a Sample>>; 2],
    /// The first text that says why a sample is missing, of each system.
    pub problems: [Option<&'a str>; 2],
}

impl<'a> Series<'a> {
    /// The samples of `work`.
    #[must_use]
    pub fn of(session: &'a Session, work: &Work) -> Self {
        let mut series = Self {
            samples: [Vec::new(), Vec::new()],
            problems: [None, None],
        };
        let slots = series.samples.iter_mut().zip(&mut series.problems);
        for (rounds, (samples, problem)) in session.rounds.iter().zip(slots) {
            for parts in rounds {
                let mut all = parts.iter().flat_map(|part| &part.samples);
                let found = all.find(|(name, _)| *name == work.name);
                match found.map(|(_, result)| result) {
                    Some(Ok(sample)) => samples.push(Some(sample)),
                    Some(Err(text)) => {
                        problem.get_or_insert(text.as_str());
                        samples.push(None);
                    }
                    None => samples.push(None),
                }
            }
        }
        series
    }

    /// A figure of one system over its rounds.
    #[must_use]
    pub fn spread(&self, which: usize, metric: Metric) -> Option<Spread> {
        let samples = self.samples.get(which)?.iter().flatten();
        let values: Vec<f64> = samples.filter_map(|sample| sample.value(metric)).collect();
        Spread::of(&values)
    }

    /// Quoin's figure over etcd's, round by round.
    #[must_use]
    pub fn ratio(&self, metric: Metric) -> Option<Spread> {
        let [etcd, quoin] = &self.samples;
        let pairs = etcd.iter().zip(quoin).filter_map(|(etcd, quoin)| {
            let (etcd, quoin) = (etcd.as_ref()?, quoin.as_ref()?);
            Some((etcd.value(metric)?, quoin.value(metric)?))
        });
        let (under, over): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Spread::of_ratios(&over, &under)
    }

    /// Requests that failed over all rounds of one system, and the first text.
    #[must_use]
    pub fn errors(&self, which: usize) -> (u64, Option<&str>) {
        let samples = self.samples.get(which).into_iter().flatten().flatten();
        samples.fold((0, None), |(count, text), sample| {
            let (more, first) = sample.errors();
            (count + more, text.or(first))
        })
    }

    /// Latencies of one system over all rounds.
    #[must_use]
    pub fn latencies(&self, which: usize) -> Option<Histogram<u64>> {
        let mut samples = self.samples.get(which)?.iter().flatten();
        let mut merged = samples.next()?.latencies().clone();
        for sample in samples {
            // Same bounds, so nothing can be out of range.
            let _added = merged.add(sample.latencies());
        }
        Some(merged)
    }
}
