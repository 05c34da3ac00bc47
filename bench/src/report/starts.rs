//! Starts on empty directories, idle memory, and buffer pools.

use std::fmt::{Result, Write};

use crate::{
    compare::{session::Session, statistics::Spread},
    report::text::{NOTHING, value},
};

/// Writes how soon each system answers, what it holds idle, and how well its
/// pools serve.
pub(super) fn write(page: &mut String, session: &Session) -> Result {
    write_starts(page, session)?;
    write_reuse(page, session)
}

fn write_starts(page: &mut String, session: &Session) -> Result {
    let systems = session.systems.iter().zip(&session.starts);
    let mut rows = Vec::new();
    for ((system, starts), rounds) in systems.zip(&session.rounds) {
        let ready = starts.iter().map(|start| start.ready.as_secs_f64() * 1e3);
        let alone = starts.iter().map(|start| mib(start.idle_bytes as f64));
        let parts = rounds
            .iter()
            .flatten()
            .filter(|part| part.members_count == 3);
        let together = parts.filter_map(|part| part.idle_bytes.map(mib));
        let columns: [Vec<f64>; 3] = [ready.collect(), alone.collect(), together.collect()];
        let columns = columns.map(|values| value(Spread::of(&values)));
        if columns.iter().any(|column| column != NOTHING) {
            rows.push(format!("| {} | {} |", system.name, columns.join(" | ")));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
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
    writeln!(page, "{}\n", rows.join("\n"))
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// Requests and misses of one pool in clusters of one size.
struct Total {
    system: &'static str,
    pool: &'static str,
    members_count: usize,
    gets_count: f64,
    misses_count: f64,
}

fn write_reuse(page: &mut String, session: &Session) -> Result {
    let totals = totals(session);
    if totals.is_empty() {
        return Ok(());
    }
    writeln!(page, "## Buffer reuse\n")?;
    writeln!(
        page,
        "From `/metrics` after the works of each stage; all members, stages and rounds \
         together, the filling\nof empty pools included.\n"
    )?;
    writeln!(page, "| | pool | nodes | gets | misses | reused |")?;
    writeln!(page, "| --- | --- | ---: | ---: | ---: | ---: |")?;
    for total in totals {
        let share = 100.0 * (1.0 - total.misses_count / total.gets_count.max(1.0));
        writeln!(
            page,
            "| {} | {} | {} | {:.0} | {:.0} | {share:.3} % |",
            total.system, total.pool, total.members_count, total.gets_count, total.misses_count
        )?;
    }
    writeln!(page)
}

fn totals(session: &Session) -> Vec<Total> {
    let mut totals: Vec<Total> = Vec::new();
    for (system, rounds) in session.systems.iter().zip(&session.rounds) {
        let parts = rounds.iter().flatten();
        for reuse in parts.flat_map(|part| &part.reuse) {
            let known = totals.iter_mut().find(|total| {
                total.system == system.name
                    && total.pool == reuse.pool
                    && total.members_count == reuse.members_count
            });
            if let Some(total) = known {
                total.gets_count += reuse.gets_count;
                total.misses_count += reuse.misses_count;
                continue;
            }
            totals.push(Total {
                system: system.name,
                pool: reuse.pool,
                members_count: reuse.members_count,
                gets_count: reuse.gets_count,
                misses_count: reuse.misses_count,
            });
        }
    }
    totals
}
