//! etcdctl against two clusters: what it prints must be the same.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::normalise::{Strictness, normalise};
use crate::{Error, Result, process::Process, wait};

/// One command line, what is typed into it, and how strictly it is compared.
pub(super) struct Line<'a> {
    pub(super) arguments: &'a str,
    pub(super) input: &'a str,
    pub(super) strictness: Strictness,
}

const fn exact(arguments: &'static str) -> Line<'static> {
    Line {
        arguments,
        input: "",
        strictness: Strictness::Exact,
    }
}

const fn shape(arguments: &'static str) -> Line<'static> {
    Line {
        arguments,
        input: "",
        strictness: Strictness::Shape,
    }
}

const fn typed(arguments: &'static str, input: &'static str) -> Line<'static> {
    Line {
        arguments,
        input,
        strictness: Strictness::Exact,
    }
}

/// The session. Words are split at blanks; `''` is an empty word.
const SESSION: [Line<'static>; 62] = [
    exact("get nothing"),
    exact("put a 1"),
    exact("put a 2 --prev-kv"),
    exact("put b 1"),
    exact("put c/1 x"),
    exact("put c/2 y"),
    exact("get a"),
    exact("get a --rev=2"),
    exact("get a --rev=99"),
    exact("get a --print-value-only"),
    exact("get c/ --prefix"),
    exact("get c/ --prefix --keys-only"),
    exact("get c/ --prefix --count-only --write-out=fields"),
    exact("get c/ --prefix --order=DESCEND --sort-by=KEY --limit=1"),
    exact("get c/ --prefix --rev=5"),
    exact("get b --from-key"),
    exact("get a b"),
    exact("get a --consistency=s"),
    exact("get a --write-out=json"),
    exact("get a --write-out=fields"),
    exact("get '' --prefix --keys-only"),
    exact("get a --hex"),
    exact("put '' x"),
    exact("put d --ignore-value"),
    exact("put a --ignore-value"),
    exact("put a 3 --lease=123"),
    exact("del a --prev-kv"),
    exact("del a"),
    exact("del c/ --prefix --prev-kv"),
    typed(
        "txn",
        "ver(\"b\") = \"1\"\n\nput t yes\nget b\n\nput t no\n\n",
    ),
    typed(
        "txn",
        "ver(\"b\") > \"7\"\nmod(\"b\") != \"0\"\n\nput t yes\n\ndel b\nget t\n\n",
    ),
    typed(
        "txn",
        "val(\"t\") = \"yes\"\ncreate(\"none\") = \"0\"\n\ndel t\nput e 1\n\n\n",
    ),
    typed("txn", "\nput e 1\nput e 2\n\n\n"),
    exact("lease grant 0x"),
    exact("lease list"),
    exact("lease grant 100"),
    exact("lease list"),
    exact("lease grant 9000000001"),
    exact("lease timetolive 7b"),
    exact("lease timetolive 7b --keys"),
    exact("lease keep-alive 7b --once"),
    exact("lease revoke 7b"),
    exact("compaction 5"),
    exact("compaction 5"),
    exact("compaction 99"),
    exact("get e --rev=3"),
    exact("compaction 7 --physical"),
    exact("get e --rev=8"),
    shape("endpoint status --write-out=table"),
    shape("endpoint status --cluster --write-out=table"),
    shape("endpoint status"),
    shape("endpoint health"),
    shape("endpoint health --cluster --write-out=table"),
    shape("endpoint hashkv"),
    shape("member list"),
    shape("member list --write-out=table"),
    shape("member list --write-out=json"),
    shape("member list --consistency=s --write-out=fields"),
    shape("member remove 123"),
    exact("alarm list"),
    shape("defrag"),
    exact("get e"),
];

/// What a server says of a call that its version does not have: no difference
/// in behaviour, but a gap that docs tell of.
const NOT_OFFERED: &str = "is not offered by this version";

/// Commands about a lease that exists.
const LEASE_COMMANDS: [&str; 9] = [
    "put leased v --lease=ID",
    "lease timetolive ID",
    "lease timetolive ID --keys",
    "lease keep-alive ID --once",
    "lease keep-alive ID --once --write-out=json",
    "lease list",
    "lease revoke ID",
    "get leased",
    "lease timetolive ID",
];

/// Keys and values that the watches below must show, in order.
const WATCH: &str = "watch c/ --prefix --rev=2 --prev-kv";

/// Lines that the watch prints for the session's history of `c/`.
const WATCH_LINES: usize = 14;

/// Differences between what etcdctl prints against two clusters.
///
/// # Errors
/// etcdctl cannot be run.
pub async fn compare(etcdctl: &Path, expected: &[String], found: &[String]) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (place, line) in SESSION.iter().enumerate() {
        if line.arguments.starts_with("compaction 5") && place < 43 {
            let watches = (
                watch(etcdctl, expected).await?,
                watch(etcdctl, found).await?,
            );
            note(&mut differences, WATCH, &watches.0, &watches.1);
        }
        let (one, other) = (run(etcdctl, expected, line)?, run(etcdctl, found, line)?);
        note(&mut differences, line.arguments, &one, &other);
    }
    let leases = (lease(etcdctl, expected)?, lease(etcdctl, found)?);
    note(&mut differences, "lease ...", &leases.0, &leases.1);
    Ok(differences)
}

/// What the commands about one lease print; its id is chosen by the server.
fn lease(etcdctl: &Path, endpoints: &[String]) -> Result<String> {
    let grant = arguments("lease grant 100", endpoints);
    let granted = Command::new(etcdctl)
        .args(grant)
        .output()
        .map_err(Error::io("etcdctl"))?;
    let granted = String::from_utf8_lossy(&granted.stdout).into_owned();
    let id = granted.split_whitespace().nth(1).unwrap_or("0").to_owned();
    let mut text = normalise(&granted, Strictness::Exact);
    for verb in LEASE_COMMANDS {
        let line = verb.replace("ID", &id);
        let line = Line {
            arguments: &line,
            input: "",
            strictness: Strictness::Shape,
        };
        text.push_str(&format!("\n{verb}\n{}", run(etcdctl, endpoints, &line)?));
    }
    Ok(text)
}

/// Number of commands compared.
#[must_use]
pub fn commands_count() -> usize {
    SESSION.len() + 1 + LEASE_COMMANDS.len()
}

pub(super) fn note(differences: &mut Vec<String>, command: &str, expected: &str, found: &str) {
    if expected != found && !found.contains(NOT_OFFERED) {
        differences.push(format!(
            "etcdctl {command}\n--- expected\n{expected}\n--- found\n{found}\n"
        ));
    }
}

/// The command line as words; it may name its own endpoints.
pub(super) fn arguments(line: &str, endpoints: &[String]) -> Vec<String> {
    let mut arguments = Vec::new();
    if !line.contains("--endpoints=") {
        arguments.push(format!("--endpoints={}", endpoints.join(",")));
    }
    let words = line
        .split(' ')
        .map(|word| if word == "''" { "" } else { word });
    arguments.extend(words.map(ToOwned::to_owned));
    arguments
}

/// Exit code and output of one command, normalised.
pub(super) fn run(etcdctl: &Path, endpoints: &[String], line: &Line<'_>) -> Result<String> {
    let mut command = Command::new(etcdctl);
    command.args(arguments(line.arguments, endpoints));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Error::io("etcdctl"))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that reads nothing may have ended already.
        let _written = input.write_all(line.input.as_bytes());
    }
    let output = child.wait_with_output().map_err(Error::io("etcdctl"))?;
    let mut text = format!("exit {}\n", output.status.code().unwrap_or(-1));
    text.push_str(&normalise(
        &String::from_utf8_lossy(&output.stdout),
        line.strictness,
    ));
    let errors = String::from_utf8_lossy(&output.stderr);
    // Its own log lines tell times and places in its source.
    for error in errors.lines().filter(|error| !error.starts_with('{')) {
        text.push_str(&format!("\nstderr: {}", normalise(error, line.strictness)));
    }
    Ok(text)
}

/// What a watch prints until it has printed all of the history.
async fn watch(etcdctl: &Path, endpoints: &[String]) -> Result<String> {
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let log = folder.path().join("watch.log");
    let arguments: Vec<_> = arguments(WATCH, endpoints)
        .into_iter()
        .map(Into::into)
        .collect();
    let process = Process::spawn("etcdctl watch", etcdctl, &arguments, &[], &log)?;
    let printed = wait::until("the watch to print", Duration::from_secs(10), async || {
        let lines = process.output().lines().count();
        if lines >= WATCH_LINES {
            Ok(())
        } else {
            Err(lines.to_string())
        }
    });
    // Too few lines are a difference to show, not an error.
    let _late = printed.await;
    Ok(process.output())
}
