//! The list of what is there, and why the rest is not.

use std::fmt::Write as _;

use http::StatusCode;

use crate::ops::http::HttpResponse;
use crate::ops::respond;

/// Answers `/debug/pprof/`.
pub(super) fn answer() -> HttpResponse {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html><head><title>/debug/pprof/</title></head><body>\n\
         <h1>/debug/pprof/</h1>\n<table>\n",
    );
    for (link, what) in PAGES {
        let _ = writeln!(
            page,
            "<tr><td><a href=\"{link}\">{link}</a></td><td>{what}</td></tr>"
        );
    }
    for (name, reason) in NOT_OFFERED {
        let _ = writeln!(
            page,
            "<tr><td>{name}</td><td>not offered: {reason}</td></tr>"
        );
    }
    page.push_str("</table>\n</body></html>\n");
    respond::typed(StatusCode::OK, "text/html; charset=utf-8", page)
}

/// Why a profile that Go has is not there.
pub(super) fn reason_against(name: &str) -> Option<&'static str> {
    let entry = NOT_OFFERED.iter().find(|(known, _)| *known == name);
    entry.map(|(_, reason)| *reason)
}

const PAGES: [(&str, &str); 5] = [
    (
        "profile?seconds=30",
        "CPU profile, for <code>go tool pprof</code>; <code>seconds</code> from 1 to 300",
    ),
    (
        "profile?seconds=30&amp;debug=1",
        "the same as folded stacks, for flame graph tools",
    ),
    (
        "heap?debug=1",
        "memory as the kernel and the allocator count it",
    ),
    (
        "goroutine?debug=1",
        "threads with their CPU time, tasks, connections and watchers",
    ),
    ("cmdline", "arguments of the process"),
];

const NOT_OFFERED: [(&str, &str); 6] = [
    ("allocs", "where memory was allocated is not recorded"),
    (
        "block",
        "waits are not recorded; see the metrics of each stage",
    ),
    (
        "mutex",
        "waits are not recorded; see the metrics of each stage",
    ),
    ("symbol", "profiles carry their names"),
    ("threadcreate", "where threads were created is not recorded"),
    ("trace", "execution is not traced"),
];
