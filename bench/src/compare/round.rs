//! One system through the works of one stage on a fresh cluster.
//!
//! A work that fails is noted and the next one runs: a report with a gap says
//! more than none.

use crate::{
    compare::{
        deployment::Deployment,
        loaded,
        metric::Metric,
        plan::Stage,
        reuse::Reuse,
        sample::Sample,
        system::System,
        work::{Kind, Work},
    },
    flags::CompareFlags,
    progress::{Progress, note},
};

/// What one system gave in one round with one stage.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Members of the cluster.
    pub members_count: usize,
    /// By the works' names; the text says why there is no sample.
    pub samples: Vec<(String, Result<Sample, String>)>,
    /// Mean resident bytes of a member before the first work.
    pub idle_bytes: Option<f64>,
    /// Pools of servers that export them.
    pub reuse: Vec<Reuse>,
}

/// Runs a stage.
pub async fn run(
    system: &System,
    stage: &Stage,
    flags: &CompareFlags,
    seed: u64,
    progress: &mut Progress,
) -> Round {
    let mut round = Round {
        members_count: stage.members_count,
        ..Round::default()
    };
    let mut deployment = match Deployment::start(system, stage.members_count, &[]).await {
        Ok(deployment) => deployment,
        Err(error) => {
            let text = format!("the cluster did not start: {error}");
            note(&text);
            for work in &stage.works {
                progress.step(&format!("{}: {}", system.name, work.title));
                round.samples.push((work.name.clone(), Err(text.clone())));
            }
            return round;
        }
    };
    if stage.is_rested {
        round.idle_bytes = deployment.idle_bytes().await;
    }
    for work in &stage.works {
        let sample = match work.kind {
            Kind::Loaded { keys_count } => {
                loaded::run(&mut deployment, work, keys_count, flags, seed).await
            }
            _ => deployment.run(work, flags, seed),
        };
        let sample = sample.map_err(|error| error.to_string());
        progress.step(&summary(system, work, &sample));
        round.samples.push((work.name.clone(), sample));
    }
    round.reuse = Reuse::of(&deployment.endpoints).await;
    round
}

fn summary(system: &System, work: &Work, sample: &Result<Sample, String>) -> String {
    let name = system.name;
    match sample {
        Ok(sample) => {
            let value = |metric| sample.value(metric).unwrap_or(f64::NAN);
            let restart = sample.value(Metric::Restart);
            let restart = restart.map_or_else(String::new, |restart| {
                let memory = value(Metric::ResidentLeader);
                let join = value(Metric::Join);
                format!("leader {memory:.0} MiB, restart {restart:.0} ms, join {join:.0} ms, ")
            });
            format!(
                "{name}: {}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, server {:.1} us/op, \
                 generator {:.1} us/op, {restart}{} errors",
                work.title,
                value(Metric::Throughput),
                value(Metric::P50),
                value(Metric::P99),
                value(Metric::CpuAll),
                value(Metric::CpuGenerator),
                sample.errors().0,
            )
        }
        Err(problem) => format!("{name}: {}: {problem}", work.title),
    }
}
