//! The report page.

use std::fmt::Write;

use crate::{
    compare::{
        plan::{KEYS_READ_COUNT, KEYS_WRITTEN_COUNT, VALUE_BYTES, Work},
        sample::Metric,
        session::Session,
        statistics::Spread,
    },
    report::series::Series,
};

/// Figures of the first table, with short titles.
const SUMMARY: [(Metric, &str); 8] = [
    (Metric::Throughput, "throughput"),
    (Metric::P50, "p50"),
    (Metric::P99, "p99"),
    (Metric::CpuAll, "CPU/op, all members"),
    (Metric::CpuLeader, "CPU/op, leader"),
    (Metric::CpuFollower, "CPU/op, follower"),
    (Metric::ResidentLeader, "memory, leader"),
    (Metric::Device, "written/op"),
];

/// The page as Markdown.
#[must_use]
pub fn render(session: &Session) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _written = write_page(&mut page, session);
    page
}

fn write_page(page: &mut String, session: &Session) -> std::fmt::Result {
    writeln!(page, "# Quoin beside etcd\n")?;
    writeln!(page, "Made by:\n\n```\n{}\n```\n", command(session))?;
    write_facts(page, session)?;
    if !session.works.is_empty() {
        write_summary(page, session)?;
    }
    write_starts(page, session)?;
    write_reuse(page, session)?;
    if !session.works.is_empty() {
        writeln!(
            page,
            "## Latency\n\n![Latency by percentile](compare.svg)\n"
        )?;
    }
    for work in &session.works {
        write_work(page, session, work)?;
    }
    Ok(())
}

/// The command without paths, which differ between machines.
fn command(session: &Session) -> String {
    let flags = &session.flags;
    let mut command = format!(
        "cargo run --release -p quoin-bench -- compare --rounds {} --seconds {} --warm-up {}",
        flags.rounds, flags.seconds, flags.warm_up
    );
    for only in &flags.only {
        command.push_str(" --only ");
        command.push_str(only);
    }
    command
}

fn write_facts(page: &mut String, session: &Session) -> std::fmt::Result {
    let machine = &session.machine;
    let [etcd, quoin] = &session.systems;
    let sources = &machine.commit;
    let rows = [
        ("processor", machine.processor.clone()),
        ("memory", machine.memory.clone()),
        ("kernel", machine.kernel.clone()),
        ("4 KiB write and fdatasync", machine.sync.clone()),
        ("load average before", machine.load.clone()),
        ("load average after", session.load_after.clone()),
        (etcd.name, etcd.version.clone()),
        (quoin.name, format!("{}, sources {sources}", quoin.version)),
    ];
    writeln!(page, "| | |\n| --- | --- |")?;
    for (name, value) in rows {
        writeln!(page, "| {name} | {value} |")?;
    }
    writeln!(
        page,
        "\nBoth systems run in turn on this machine, alternating which goes first, every round \
         on fresh\ndirectories and with the same flags; members, clients and disk share it. \
         Values have {VALUE_BYTES} bytes,\nkeys 16; puts and transactions spread over \
         {KEYS_WRITTEN_COUNT} keys, reads over {KEYS_READ_COUNT}. The works of one\ncluster \
         size run after each other on one cluster. Connections are spread over all members,\nthe \
         first one to the leader. Ratios are Quoin over etcd, paired by round: the median, and \
         in\nparentheses least and greatest. Below 1 Quoin is lower, which is better for all but \
         throughput.\nCPU is user and system time of the server processes from `/proc`.\n"
    )
}

fn write_summary(page: &mut String, session: &Session) -> std::fmt::Result {
    writeln!(page, "## Ratios\n")?;
    let titles: Vec<_> = SUMMARY.iter().map(|(_, title)| *title).collect();
    writeln!(page, "| work | {} |", titles.join(" | "))?;
    writeln!(page, "| --- |{}", " ---: |".repeat(titles.len()))?;
    for work in &session.works {
        let series = Series::of(session, work);
        write!(page, "| {} |", work.title)?;
        for (metric, _) in SUMMARY {
            // What a read writes is chance: a ratio of next to nothing.
            let chance = metric == Metric::Device && !work.writes();
            let shown = series.ratio(metric).filter(|_| !chance);
            write!(page, " {} |", ratio(shown))?;
        }
        writeln!(page)?;
    }
    writeln!(page)
}

fn write_work(page: &mut String, session: &Session, work: &Work) -> std::fmt::Result {
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

fn write_starts(page: &mut String, session: &Session) -> std::fmt::Result {
    writeln!(page, "## Start and idle memory\n")?;
    writeln!(
        page,
        "Ready: from making the process on an empty directory, one node, until it answers a \
         linearizable\nread. Idle: resident memory of a member without load, two seconds \
         after.\n"
    )?;
    writeln!(
        page,
        "| | ready, ms | idle, 1 node, MiB | idle, each of 3 nodes, MiB |"
    )?;
    writeln!(page, "| --- | ---: | ---: | ---: |")?;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let systems = session
        .systems
        .iter()
        .zip(&session.starts)
        .zip(&session.rounds);
    for ((system, starts), rounds) in systems {
        let ready: Vec<f64> = starts
            .iter()
            .map(|start| start.ready.as_secs_f64() * 1e3)
            .collect();
        let alone: Vec<f64> = starts
            .iter()
            .map(|start| mib(start.idle_bytes as f64))
            .collect();
        let parts = rounds.iter().flatten();
        let together: Vec<f64> = parts
            .filter(|part| members_count(session, part) == 3)
            .filter_map(|part| part.idle_bytes.map(mib))
            .collect();
        writeln!(
            page,
            "| {} | {} | {} | {} |",
            system.name,
            value(Spread::of(&ready)),
            value(Spread::of(&alone)),
            value(Spread::of(&together)),
        )?;
    }
    writeln!(page)
}

/// The cluster size of a part of a round, by its first work.
fn members_count(session: &Session, part: &crate::compare::round::Round) -> usize {
    let name = part.samples.first().map(|(name, _)| *name);
    let work = session.works.iter().find(|work| Some(work.name) == name);
    work.map_or(0, |work| work.members_count)
}

fn write_reuse(page: &mut String, session: &Session) -> std::fmt::Result {
    let mut rows = Vec::new();
    for (system, rounds) in session.systems.iter().zip(&session.rounds) {
        for (number, parts) in rounds.iter().enumerate() {
            for reuse in parts.iter().flat_map(|part| &part.reuse) {
                let share = 100.0 * (1.0 - reuse.misses_count / reuse.gets_count.max(1.0));
                rows.push(format!(
                    "| {} | {} | {} | {} | {:.0} | {:.0} | {share:.3} % |",
                    system.name,
                    reuse.pool,
                    number + 1,
                    reuse.members_count,
                    reuse.gets_count,
                    reuse.misses_count,
                ));
            }
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(page, "## Buffer reuse\n")?;
    writeln!(
        page,
        "From `/metrics` after all works of a round, all members together.\n"
    )?;
    writeln!(page, "| | pool | round | nodes | gets | misses | reused |")?;
    writeln!(page, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
    for row in rows {
        writeln!(page, "{row}")?;
    }
    writeln!(page)
}

/// What stands where nothing was measured.
const NOTHING: &str = "-";

/// A median with its spread.
fn value(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
            format!("{median} ({min}-{max})")
        },
    )
}

/// A ratio with its spread.
fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| {
            let Spread { median, min, max } = spread;
            format!("{median:.2} ({min:.2}-{max:.2})")
        },
    )
}

/// Three significant digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_so() {
        let shown = [12_345.6, 123.4, 12.34, 1.234, 0.0].map(number);
        assert_eq!(shown, ["12346", "123", "12.3", "1.23", "0.00"]);
    }

    #[test]
    fn nothing_measured_is_a_dash() {
        assert_eq!(value(None), NOTHING);
        let spread = Spread::of(&[0.5, 0.25]);
        assert_eq!(ratio(spread), "0.38 (0.25-0.50)");
        assert_eq!(value(spread), "0.38 (0.25-0.50)");
    }
}
