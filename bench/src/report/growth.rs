//! What much data does to Quoin.

use std::fmt::{Result, Write};

use crate::{
    compare::{growth::FILL_VALUE_BYTES, metric::Metric, session::Session},
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
         first time, and ones that have a past the second.\n",
        growth.keys_count,
        growth.folder_bytes as f64 / 1e9,
    )?;
    writeln!(page, "| | empty | fill | full | full over empty |")?;
    writeln!(page, "| --- | ---: | ---: | ---: | ---: |")?;
    for metric in METRICS {
        let samples = [&growth.empty, &growth.fill, &growth.full];
        let values = samples.map(|sample| {
            let value = sample.value(metric);
            value.map_or_else(|| NOTHING.to_owned(), number)
        });
        let ratio = ratio(growth.ratio(metric));
        let (title, values) = (metric.title(), values.join(" | "));
        writeln!(page, "| {title} | {values} | {ratio} |")?;
    }
    writeln!(page)
}
