//! What survived of a lost cluster, for people and for programs.

use quoin_server::offline::{Plan, Report};
use serde_json::json;

use super::table::draw;

/// One column for each directory, then what is damaged and what may be missing.
pub(super) fn render_table(plan: &Plan) -> String {
    let reports: Vec<&Report> = plan.reports().collect();
    let names: Vec<String> = (1..=reports.len())
        .map(|number| format!("#{number}"))
        .collect();
    let header: Vec<&str> = std::iter::once("")
        .chain(names.iter().map(String::as_str))
        .collect();
    let row = |(title, cell): &Line| {
        let cells = reports.iter().map(|report| cell(report));
        std::iter::once((*title).to_owned()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = LINES.iter().map(row).collect();
    let mut text = draw(&header, &rows);
    for (name, report) in names.iter().zip(&reports) {
        text += &format!("{name} {}\n", report.directory.display());
        for damage in &report.damage {
            text += &format!("   damaged: {damage}\n");
        }
        if let Some(torn) = &report.torn_tail {
            text += &format!("   unfinished last write, never acknowledged: {torn}\n");
        }
    }
    text += &conclusion(plan);
    text
}

fn conclusion(plan: &Plan) -> String {
    let place = |report: Option<&Report>| match report {
        Some(report) => report.directory.display().to_string(),
        None => "none".to_owned(),
    };
    let mut text = format!("\nfreshest log: {}\n", place(plan.freshest()));
    if plan.chosen().map(|report| &report.directory) != plan.freshest().map(|r| &r.directory) {
        text += &format!("freshest that can be used: {}\n", place(plan.chosen()));
    }
    for electorate in plan.electorates() {
        let hex = |ids: &[u64]| {
            ids.iter()
                .map(|id| format!("{id:x}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        text += &format!(
            "voters: {}; with a whole log here: {}\n",
            hex(&electorate.voters),
            hex(&electorate.surviving)
        );
    }
    let verdict = plan.verdict();
    text + &format!("{}\nbecause {}\n", verdict.summary(), verdict.argument())
}

/// Ids are numbers, as in all JSON output.
pub(super) fn render_json(plan: &Plan) -> String {
    let directory = |report: Option<&Report>| report.map(|report| report.directory.clone());
    let value = json!({
        "directories": plan.reports().collect::<Vec<_>>(),
        "freshest": directory(plan.freshest()),
        "usable": directory(plan.chosen()),
        "electorates": plan.electorates(),
        "missing": plan.verdict(),
        "summary": plan.verdict().summary(),
    });
    format!("{value}\n")
}

/// A row: its title, and what a directory has there.
type Line = (&'static str, fn(&Report) -> String);

const LINES: [Line; 15] = [
    ("member id", |report| format!("{:x}", report.member_id)),
    ("cluster id", |report| format!("{:x}", report.cluster_id)),
    ("name", |report| report.name.clone()),
    ("formats (identity, log, backend)", |report| {
        report
            .format_versions
            .map(|version| version.to_string())
            .join(" ")
    }),
    ("engine", |report| report.engine.clone()),
    ("bytes on disk", |report| report.size_bytes.to_string()),
    ("term of the vote", |report| report.vote_term.to_string()),
    ("last entry (term, index)", |report| {
        format!("{} {}", report.last.term, report.last.index)
    }),
    ("known to be committed", |report| {
        report.committed_index.to_string()
    }),
    ("checkpoint", |report| report.applied_index.to_string()),
    ("applied from the log", |report| {
        report.replayed_count.to_string()
    }),
    ("revision", |report| {
        or_none(report, report.revision.to_string())
    }),
    ("keys", |report| {
        or_none(report, report.keys_count.to_string())
    }),
    ("digest", |report| or_none(report, report.digest.clone())),
    ("log", |report| match report.is_log_sound {
        true => "whole".to_owned(),
        false => "damaged".to_owned(),
    }),
];

fn or_none(report: &Report, text: String) -> String {
    if report.is_usable {
        text
    } else {
        "unreadable".to_owned()
    }
}
