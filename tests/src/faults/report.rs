//! What a round leaves behind: a folder with the verdict, the history, the logs,
//! and a picture of operations and faults over time.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use super::round::Outcome;
use crate::{Error, Result, checker::operation::Operation};

/// Size of the picture, and of its margins, in pixels.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 50.0;

/// Operations drawn at most: more would hide each other.
const DOTS_MAX: usize = 6000;

/// Latencies that the picture spans, in nanoseconds.
const FASTEST: f64 = 1e5;
const SLOWEST: f64 = 1e10;

/// Writes the folder of a round below `folder`; returns its path. `command` is what
/// repeats it.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, name: &str, command: &str, outcome: &Outcome) -> Result<PathBuf> {
    let folder = folder.join(name);
    let create = fs::create_dir_all(&folder);
    create.map_err(Error::io(folder.display().to_string()))?;
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::io(path.display().to_string()))
    };
    put("verdict.txt", verdict(command, outcome))?;
    put("timeline.svg", timeline(outcome))?;
    put("history.txt", lines(&outcome.history))?;
    for (number, watched) in outcome.watched.iter().enumerate() {
        let responses = lines(&watched.delivered.responses);
        put(&format!("watch-{number}.txt"), responses)?;
    }
    for (member, log) in &outcome.logs {
        put(&format!("{member}.log"), log.clone())?;
    }
    Ok(folder)
}

fn lines<T: std::fmt::Debug>(items: &[T]) -> String {
    items.iter().fold(String::new(), |mut text, item| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{item:?}");
        text
    })
}

fn verdict(command: &str, outcome: &Outcome) -> String {
    let verdict = &outcome.verdict;
    let mut text = format!(
        "{}\nrepeat with: {command}\n\n{} answered, {} open, {} events, served again after {:?}\n\n",
        if verdict.violations.is_empty() {
            "no violation"
        } else {
            "VIOLATION"
        },
        verdict.answered_count,
        verdict.open_count,
        verdict.events_count,
        outcome.recovery,
    );
    for violation in &verdict.violations {
        let _ = writeln!(text, "{violation}");
    }
    for span in &outcome.spans {
        let seconds = |at: u64| at as f64 / 1e9;
        let (from, to) = (seconds(span.from), seconds(span.to));
        let _ = writeln!(
            text,
            "{from:8.3} s to {to:8.3} s  {} {}",
            span.fault, span.whom
        );
    }
    text
}

/// Latency over time, faults shaded behind it.
fn timeline(outcome: &Outcome) -> String {
    let ends = outcome
        .history
        .iter()
        .map(|operation| operation.answered.unwrap_or(operation.called));
    let end = ends.chain(outcome.spans.iter().map(|span| span.to)).max();
    let end = end.unwrap_or(1).max(1) as f64;
    let x = |at: u64| MARGIN + at as f64 / end * (WIDTH - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for (row, span) in outcome.spans.iter().enumerate() {
        let (from, to) = (x(span.from), x(span.to));
        let width = (to - from).max(2.0);
        let label = MARGIN + 12.0 + (row % 6) as f64 * 13.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{MARGIN}\" width=\"{width:.1}\" height=\"{:.1}\" \
             fill=\"#d62728\" fill-opacity=\"0.12\"/>\
             <text x=\"{from:.1}\" y=\"{label:.1}\">{} {}</text>",
            HEIGHT - 2.0 * MARGIN,
            span.fault,
            span.whom,
        );
    }
    for decade in 5..=10 {
        let y = height(10_f64.powi(decade));
        let text = ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
        let text = text.get(decade as usize - 5).copied().unwrap_or_default();
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"4\" y=\"{y:.1}\">{text}</text>",
            WIDTH - MARGIN,
        );
    }
    let step = outcome.history.len().div_ceil(DOTS_MAX).max(1);
    for operation in outcome.history.iter().step_by(step) {
        svg.push_str(&dot(operation, x(operation.called)));
    }
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{:.1}\">0 s</text><text x=\"{:.1}\" y=\"{:.1}\">{:.1} s</text>\
         <text x=\"{MARGIN}\" y=\"20\">time to answer of reads (green), changes (blue), without \
         answer (red cross); faults shaded</text></svg>",
        HEIGHT - MARGIN + 16.0,
        WIDTH - 1.5 * MARGIN,
        HEIGHT - MARGIN + 16.0,
        end / 1e9,
    );
    svg
}

fn height(nanoseconds: f64) -> f64 {
    let share =
        (nanoseconds.clamp(FASTEST, SLOWEST) / FASTEST).log10() / (SLOWEST / FASTEST).log10();
    HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN)
}

fn dot(operation: &Operation, x: f64) -> String {
    let Some(answered) = operation.answered else {
        let y = MARGIN + 4.0;
        return format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#d62728\">x</text>\n");
    };
    let y = height((answered - operation.called) as f64);
    let colour = if operation.changes.is_empty() {
        "#2ca02c"
    } else {
        "#1f77b4"
    };
    format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.3\" fill=\"{colour}\"/>\n")
}
