//! The verbs, one file each (`member` and `lease` with the verbs below them).

mod alarm;
mod auth;
mod compaction;
mod defrag;
mod del;
mod downgrade;
mod endpoint;
mod etcd_file;
mod get;
mod lease;
mod lock;
mod member;
mod move_leader;
mod put;
mod recover;
mod role;
mod snapshot;
mod txn;
mod user;
mod version;
mod watch;

use clap::ArgMatches;

use crate::failure::Failure;
use crate::flags::Flags;

/// Runs what the command line says.
pub(crate) async fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let flags = Flags(matches);
    match verb {
        "get" => get::run(flags).await,
        "put" => put::run(flags).await,
        "del" => del::run(flags).await,
        "txn" => txn::run(flags).await,
        "compaction" => compaction::run(flags).await,
        "watch" => watch::run(flags).await,
        "defrag" => defrag::run(flags).await,
        "move-leader" => move_leader::run(flags).await,
        "lock" => lock::run(flags).await,
        "recover" => recover::run(flags).await,
        "import" => etcd_file::import(flags).await,
        "export" => snapshot::export(flags).await,
        "version" => version::run(),
        "options" => crate::verbs::print_options(),
        "elect" | "make-mirror" | "completion" => Err(Failure::unavailable(verb)),
        _ => run_below(verb, matches).await,
    }
}

/// Runs a verb that stands below another one.
async fn run_below(group: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let flags = Flags(matches);
    match group {
        "lease" => lease::run(verb, flags).await,
        "member" => member::run(verb, flags).await,
        "endpoint" => endpoint::run(verb, flags).await,
        "alarm" => alarm::run(verb, flags).await,
        "snapshot" => snapshot::run(verb, flags).await,
        "downgrade" => downgrade::run(verb, flags).await,
        "auth" => auth::run(verb, flags).await,
        "user" => user::run(verb, flags).await,
        "role" => role::run(verb, flags).await,
        _ => Err(Failure::unavailable(&format!("{group} {verb}"))),
    }
}

/// The range that `--prefix`, `--from-key` or a second argument describes.
fn range(
    key: Vec<u8>,
    end: Option<Vec<u8>>,
    prefix: bool,
    from_key: bool,
) -> (bytes::Bytes, bytes::Bytes) {
    let all = bytes::Bytes::from_static(b"\0");
    let start = match key.is_empty() && (prefix || from_key) {
        true => all.clone(),
        false => key.clone().into(),
    };
    let end = match (prefix, from_key) {
        (true, _) if !key.is_empty() => quoin_client::prefix_end(&key),
        (true, _) | (_, true) => all,
        _ => end.unwrap_or_default().into(),
    };
    (start, end)
}

/// A lease id in hexadecimal.
fn lease_id(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text, 16).map_err(|error| parse_error("ParseInt", text, &error))
}

/// A member id in hexadecimal.
fn member_id(text: &str) -> Result<u64, Failure> {
    u64::from_str_radix(text, 16).map_err(|error| {
        let reason = parse_error("ParseUint", text, &error);
        Failure::arguments(format!("bad member ID arg ({reason}), expecting ID in Hex"))
    })
}

/// A number that cannot be read, in etcdctl's words.
fn parse_error(parser: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind;

    let reason = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!(
        "strconv.{parser}: parsing {}: {reason}",
        crate::output::quote(text.as_bytes())
    )
}
