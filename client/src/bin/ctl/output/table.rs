//! Table output: for replies that are lists of rows.

use super::reply::{Reply, file_row, hash_rows, member_rows, status_rows};

/// `None` for replies that are not rows.
pub(super) fn render(reply: &Reply) -> Option<Vec<u8>> {
    let (header, rows): (&[&str], _) = match reply {
        Reply::MemberList(reply) => (MEMBER_HEADER, member_rows(reply)),
        Reply::EndpointStatus(list) => (STATUS_HEADER, status_rows(list)),
        Reply::EndpointHashKv(list) => (HASH_HEADER, hash_rows(list)),
        Reply::FileStatus(status) => (FILE_HEADER, vec![file_row(status)]),
        Reply::EndpointHealth(list) => {
            let row = |health: &super::Health| {
                let healthy = health.healthy.to_string();
                vec![
                    health.endpoint.clone(),
                    healthy,
                    health.took.clone(),
                    health.error.clone(),
                ]
            };
            (HEALTH_HEADER, list.iter().map(row).collect())
        }
        _ => return None,
    };
    Some(draw(header, &rows).into_bytes())
}

/// Header centred, cells to the right.
pub(super) fn draw(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| LINE.repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let line = |cells: Vec<String>| format!("{BAR} {} {BAR}\n", cells.join(&format!(" {BAR} ")));
    let titles = header.iter().zip(&widths);
    let mut text = rule("\u{250c}", "\u{252c}", "\u{2510}");
    text += &line(
        titles
            .map(|(title, width)| format!("{title:^width$}"))
            .collect(),
    );
    text += &rule("\u{251c}", "\u{253c}", "\u{2524}");
    for row in rows {
        let cells = row.iter().zip(&widths);
        text += &line(
            cells
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect(),
        );
    }
    text + &rule("\u{2514}", "\u{2534}", "\u{2518}")
}

const LINE: &str = "\u{2500}";
const BAR: &str = "\u{2502}";

const MEMBER_HEADER: &[&str] = &[
    "ID",
    "STATUS",
    "NAME",
    "PEER ADDRS",
    "CLIENT ADDRS",
    "IS LEARNER",
];
const HEALTH_HEADER: &[&str] = &["ENDPOINT", "HEALTH", "TOOK", "ERROR"];
const HASH_HEADER: &[&str] = &["ENDPOINT", "HASH", "HASH REVISION"];
const FILE_HEADER: &[&str] = &["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"];
const STATUS_HEADER: &[&str] = &[
    "ENDPOINT",
    "ID",
    "VERSION",
    "STORAGE VERSION",
    "DB SIZE",
    "IN USE",
    "PERCENTAGE NOT IN USE",
    "QUOTA",
    "IS LEADER",
    "IS LEARNER",
    "RAFT TERM",
    "RAFT INDEX",
    "RAFT APPLIED INDEX",
    "ERRORS",
    "DOWNGRADE TARGET VERSION",
    "DOWNGRADE ENABLED",
];
