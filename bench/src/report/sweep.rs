//! What comes of a load that is offered at a fixed rate.

use std::fmt::{Result, Write};

use crate::{
    compare::{metric::Metric, session::Session, work::Work},
    report::{SWEEP, series::Series, text::value, works::write_failures},
};

/// Figures of each step, in the order of the columns.
const COLUMNS: [(Metric, &str); 4] = [
    (Metric::Throughput, "achieved"),
    (Metric::P50, "p50, ms"),
    (Metric::P99, "p99, ms"),
    (Metric::CpuAll, "CPU/put, us"),
];

/// Writes the table of steps and the plot.
pub(super) fn write(page: &mut String, session: &Session) -> Result {
    let steps: Vec<&Work> = session.works().filter(|work| work.is_step()).collect();
    let Some(first) = steps.first() else {
        return Ok(());
    };
    writeln!(page, "## Offered load: put, 3 nodes\n")?;
    writeln!(
        page,
        "![Throughput and latency against offered load]({SWEEP})\n"
    )?;
    writeln!(
        page,
        "{} clients on {} connections. Requests are due at a fixed rate whatever the server \
         does, and latency\ncounts from then: past saturation it grows with the length of the \
         run.\n",
        first.clients_count, first.connections_count
    )?;
    let [etcd, quoin] = &session.systems;
    write!(page, "| offered per second |")?;
    for (_, title) in COLUMNS {
        write!(page, " {} {title} | {} {title} |", etcd.name, quoin.name)?;
    }
    writeln!(page, "\n| ---: |{}", " ---: | ---: |".repeat(COLUMNS.len()))?;
    for step in &steps {
        let series = Series::of(session, step);
        write!(page, "| {} |", step.rate.unwrap_or_default())?;
        for (metric, _) in COLUMNS {
            let of = |which| value(series.spread(which, metric));
            write!(page, " {} | {} |", of(0), of(1))?;
        }
        writeln!(page)?;
    }
    writeln!(page)?;
    for step in steps {
        write_failures(page, session, &Series::of(session, step))?;
    }
    Ok(())
}
