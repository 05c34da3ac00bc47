//! `/debug/pprof/`: profiles and dumps of the running process.
//!
//! The paths are Go's, because operators and `go tool pprof` know them. What a
//! page can say is what this process can say truly: CPU profiles in Go's
//! format, memory and tasks as text. The rest answers 501 and why. Without
//! `--enable-pprof` there is nothing here, as in etcd.

mod figures;
mod index;
mod profile;

use http::StatusCode;

use super::http::HttpResponse;
use super::probe::Probe;
use super::respond;

/// Answers what is below `/debug/pprof/`.
pub(super) async fn answer(
    name: &str,
    query: &[(String, String)],
    probe: &dyn Probe,
) -> HttpResponse {
    let as_text = number(query, "debug").is_some_and(|level| level > 0);
    match name {
        "" => index::answer(),
        "cmdline" => command_line(),
        "profile" => profile::answer(number(query, "seconds"), as_text).await,
        "heap" | "goroutine" if !as_text => not_offered(name, NO_BINARY_FORM),
        "heap" => figures::heap(),
        "goroutine" => figures::tasks(&probe.activity()),
        _ => match index::reason_against(name) {
            Some(reason) => not_offered(name, reason),
            None => respond::text_as_is(StatusCode::NOT_FOUND, "Unknown profile\n"),
        },
    }
}

/// The arguments of the process, a zero byte between two, as in Go.
fn command_line() -> HttpResponse {
    let arguments: Vec<String> = std::env::args().collect();
    respond::text_as_is(StatusCode::OK, arguments.join("\0"))
}

fn not_offered(name: &str, reason: &str) -> HttpResponse {
    let text = format!("/debug/pprof/{name} is not offered: {reason}\n");
    respond::text_as_is(StatusCode::NOT_IMPLEMENTED, text)
}

/// A parameter that is a number; whatever is not one counts as not given.
fn number(query: &[(String, String)], name: &str) -> Option<u64> {
    let value = query.iter().find(|(given, _)| given == name);
    value.and_then(|(_, value)| value.parse().ok())
}

const NO_BINARY_FORM: &str = "it exists as text only; add ?debug=1";
