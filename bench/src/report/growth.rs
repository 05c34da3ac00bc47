//! What much data does to Quoin.

use std::{
    fmt::{Result, Write},
    time::Duration,
};

use crate::{
    compare::{
        growth::{FILL_VALUE_BYTES, Growth},
        metric::Metric,
        sample::Sample,
        session::Session,
    },
    report::text::{NOTHING, number, ratio},
};

/// Figures that are shown.
const METRICS: [Metric; 7] = [
    Metric::Throughput,
    Metric::P50,
    Metric::P99,
    Metric::CpuAll,
    Metric::ResidentLeader,
    Metric::ResidentPeak,
    Metric::Device,
];

/// Figures of reads that are shown.
const READ_METRICS: [Metric; 4] = [Metric::Throughput, Metric::P50, Metric::P99, Metric::CpuAll];

/// Writes the figures before, during and after, if growth was measured.
pub(super) fn write(page: &mut String, session: &Session) -> Result {
    let Some(growth) = &session.growth else {
        return Ok(());
    };
    writeln!(page, "## Growth: put, 1 node, 1000 clients\n")?;
    writeln!(
        page,
        "Quoin alone, once: puts on an empty store, then {} keys with values of \
         {FILL_VALUE_BYTES} bytes,\nthen the same puts again; {:.1} GB in the data directory \
         by then. The puts are of random keys out of\nall that fill the store: new ones the \
         first time, and ones that have a past the second.\nThen a \
         compaction at the newest revision goes on beside puts.\n",
        growth.keys_count,
        growth.folder_bytes as f64 / 1e9,
    )?;
    writeln!(
        page,
        "| | empty | fill | full | compacting | full over empty |"
    )?;
    writeln!(page, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    for metric in METRICS {
        let samples = [
            &growth.empty,
            &growth.fill,
            &growth.full,
            &growth.compacting,
        ];
        let values = samples.map(|sample| shown(sample, metric));
        let ratio = ratio(growth.ratio(metric));
        let (title, values) = (metric.title(), values.join(" | "));
        writeln!(page, "| {title} | {values} | {ratio} |")?;
    }
    rest(page, growth)
}

/// Reads, and what it takes to come back or to join.
fn rest(page: &mut String, growth: &Growth) -> Result {
    let [few, all] = &growth.reads;
    writeln!(
        page,
        "\n| linearizable reads of one key | of 10000 | of all |"
    )?;
    writeln!(page, "| --- | ---: | ---: |")?;
    for metric in READ_METRICS {
        let (few, all) = (shown(few, metric), shown(all, metric));
        writeln!(page, "| {} | {few} | {all} |", metric.title())?;
    }
    let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
    let join = growth.join.map_or_else(|| NOTHING.to_owned(), seconds);
    let each = growth.restarted_bytes as f64 / growth.keys_count as f64;
    writeln!(
        page,
        "\nRestart until it answers: {}, and then {:.0} MiB resident, {each:.0} bytes for each key. \
         Another\nmember that joins has everything after {join}.\n",
        seconds(growth.restart),
        growth.restarted_bytes as f64 / f64::from(1 << 20),
    )
}

fn shown(sample: &Sample, metric: Metric) -> String {
    let value = sample.value(metric);
    value.map_or_else(|| NOTHING.to_owned(), number)
}
