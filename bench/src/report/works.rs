//! The works: a table of ratios of all, and a table of figures of each.

use std::fmt::{Result, Write};

use crate::{
    compare::{metric::Metric, session::Session, work::Work},
    report::{
        series::Series,
        text::{NOTHING, ratio, value},
    },
};

/// Figures of the table of ratios, with short titles.
const SUMMARY: [(Metric, &str); 9] = [
    (Metric::Throughput, "throughput"),
    (Metric::P50, "p50"),
    (Metric::P99, "p99"),
    (Metric::CpuAll, "CPU/op, all members"),
    (Metric::CpuLeader, "CPU/op, leader"),
    (Metric::CpuFollower, "CPU/op, follower"),
    (Metric::ResidentLeader, "memory, leader"),
    (Metric::ResidentPeak, "peak memory"),
    (Metric::Device, "written/op"),
];

/// Writes the ratios of every work.
pub(super) fn write_ratios(page: &mut String, session: &Session) -> Result {
    let mut works = session.works().filter(|work| !work.is_step()).peekable();
    if works.peek().is_none() {
        return Ok(());
    }
    writeln!(page, "## Ratios\n")?;
    let titles: Vec<_> = SUMMARY.iter().map(|(_, title)| *title).collect();
    writeln!(page, "| work | {} |", titles.join(" | "))?;
    writeln!(page, "| --- |{}", " ---: |".repeat(titles.len()))?;
    for work in works {
        let series = Series::of(session, work);
        write!(page, "| {} |", work.title)?;
        for (metric, _) in SUMMARY {
            write!(page, " {} |", ratio(series.ratio(metric)))?;
        }
        writeln!(page)?;
    }
    writeln!(page)
}

/// Writes every figure of one work.
pub(super) fn write(page: &mut String, session: &Session, work: &Work) -> Result {
    let series = Series::of(session, work);
    let [etcd, quoin] = &session.systems;
    writeln!(page, "## {}\n\n{}.\n", work.title, work.describe())?;
    writeln!(page, "| | {} | {} | ratio |", etcd.name, quoin.name)?;
    writeln!(page, "| --- | ---: | ---: | ---: |")?;
    for metric in Metric::ALL {
        let of = |which| value(series.spread(which, metric));
        let (etcd, quoin) = (of(0), of(1));
        if etcd == NOTHING && quoin == NOTHING {
            continue;
        }
        let ratio = ratio(series.ratio(metric));
        writeln!(page, "| {} | {etcd} | {quoin} | {ratio} |", metric.title())?;
    }
    writeln!(page)?;
    write_failures(page, session, &series)
}

/// Writes what went wrong in one work, if anything did.
pub(super) fn write_failures(page: &mut String, session: &Session, series: &Series<'_>) -> Result {
    for (which, system) in session.systems.iter().enumerate() {
        let (count, first) = series.errors(which);
        if count > 0 {
            let first = first.unwrap_or_default();
            writeln!(
                page,
                "{}: {count} failures, the first: {first}\n",
                system.name
            )?;
        }
        if let Some(problem) = series.problems.get(which).copied().flatten() {
            writeln!(page, "{}: no result: {problem}\n", system.name)?;
        }
    }
    Ok(())
}
