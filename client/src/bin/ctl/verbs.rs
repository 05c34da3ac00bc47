//! The command line: verbs and their flags.
//!
//! They behave as in etcdctl: global flags stand anywhere, the last of several
//! wins, a boolean takes its value only after `=`, a value may begin with `-`,
//! and commands may be cut to an unambiguous prefix.

use std::ffi::OsString;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::{ARGUMENTS, USAGE};

/// Reads the command line; `None` if help was asked for and given.
pub(crate) fn read(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Option<ArgMatches>, Failure> {
    match root().try_get_matches_from(arguments) {
        Ok(matches) => Ok(Some(matches)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                crate::output::write(error.to_string().as_bytes())?;
                Ok(None)
            }
            _ => {
                let text = format!("{}{USAGE}", explain(&error));
                Err(Failure::new(STATUS_ERROR, text))
            }
        },
    }
}

/// The parser's complaint in etcdctl's words.
pub(crate) fn explain(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let name = argument.split([' ', '=', '<']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with("--") => format!("unknown flag: {name}"),
        ErrorKind::UnknownArgument => {
            let letter = name
                .trim_start_matches('-')
                .chars()
                .next()
                .unwrap_or_default();
            format!("unknown shorthand flag: '{letter}' in {name}")
        }
        ErrorKind::InvalidSubcommand => {
            let verb = context(ContextKind::InvalidSubcommand);
            format!("unknown command \"{verb}\" for \"quoinctl\"")
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals
            if context(ContextKind::InvalidValue).is_empty() =>
        {
            format!("flag needs an argument: {name}")
        }
        _ => error
            .to_string()
            .trim_start_matches("error: ")
            .trim_end()
            .to_owned(),
    }
}

fn root() -> Command {
    let mut root = Command::new("quoinctl")
        .about("A command line client for the etcd v3 API")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .infer_subcommands(true)
        .args_override_self(true)
        .disable_version_flag(true)
        .subcommands(kv_commands())
        .subcommands(cluster_commands())
        .subcommands(auth_commands())
        .subcommands(other_commands());
    for argument in global_flags() {
        root = root.arg(argument.global(true).help_heading("Global options"));
    }
    root
}

/// Lists the global flags.
pub(crate) fn print_options() -> Result<(), Failure> {
    let mut list = Command::new("quoinctl")
        .disable_help_flag(true)
        .args(global_flags());
    let text = list.render_help().to_string();
    crate::output::write(text.as_bytes())
}

fn global_flags() -> Vec<Arg> {
    vec![
        value(
            "endpoints",
            "127.0.0.1:2379",
            "members to ask, separated by commas",
        ),
        value(
            "write-out",
            "simple",
            "output format: fields, json, protobuf, simple, table",
        )
        .short('w'),
        switch("hex", "print byte strings and ids in hexadecimal"),
        value("dial-timeout", "2s", "limit of one attempt to connect"),
        value("command-timeout", "5s", "limit of a short command"),
        value(
            "keepalive-time",
            "2s",
            "idle time before a connection is pinged",
        ),
        value(
            "keepalive-timeout",
            "6s",
            "silence after a ping that breaks a connection",
        ),
        value("max-request-bytes", "0", "largest request sent; 0 is 2 MiB"),
        value(
            "max-recv-bytes",
            "0",
            "largest reply accepted; 0 is no limit",
        ),
        switch("insecure-transport", "do not use TLS (default)"),
        switch(
            "insecure-skip-tls-verify",
            "not available: there is no TLS yet",
        ),
        switch(
            "insecure-discovery",
            "take endpoints without TLS from DNS (default)",
        )
        .default_value("true"),
        value("cert", "", "not available: there is no TLS yet"),
        value("key", "", "not available: there is no TLS yet"),
        value("cacert", "", "not available: there is no TLS yet"),
        value("auth-jwt-token", "", "token to sign in with"),
        value("user", "", "name:password to sign in with"),
        value("password", "", "password of --user"),
        value(
            "discovery-srv",
            "",
            "DNS domain whose SRV records list endpoints",
        )
        .short('d'),
        value(
            "discovery-srv-name",
            "",
            "suffix of that service: _etcd-client-NAME._tcp",
        ),
        switch("debug", "print the values of the global flags"),
    ]
}

fn kv_commands() -> Vec<Command> {
    vec![get(), put(), del(), txn(), compaction(), watch(), lease()]
}

/// `get`, also as an operation of txn.
pub(crate) fn get() -> Command {
    leaf("get", "Get a key or a range of keys", "key [range_end]").args([
        value("consistency", "l", "linearizable (l) or serializable (s)"),
        value("order", "", "ASCEND or DESCEND"),
        value("sort-by", "", "CREATE, KEY, MODIFY, VALUE or VERSION"),
        value("limit", "0", "largest number of results"),
        switch("prefix", "keys that start with the key"),
        switch("from-key", "the key and all after it"),
        value("rev", "0", "as of this revision"),
        switch("keys-only", "without values"),
        switch("count-only", "only the number of keys"),
        switch("print-value-only", "without keys, in simple output"),
        value("min-create-rev", "0", "created at this revision or later"),
        value("max-create-rev", "0", "created at this revision or earlier"),
        value("min-mod-rev", "0", "changed at this revision or later"),
        value("max-mod-rev", "0", "changed at this revision or earlier"),
        switch("stream", "get the result in pieces"),
    ])
}

/// `put`, also as an operation of txn.
pub(crate) fn put() -> Command {
    leaf(
        "put",
        "Put a value into a key",
        "key [value, or from standard input]",
    )
    .args([
        value("lease", "0", "lease id in hexadecimal to attach the key to"),
        switch("prev-kv", "print the pair as it was"),
        switch("ignore-value", "keep the value"),
        switch("ignore-lease", "keep the lease"),
    ])
}

/// `del`, also as an operation of txn.
pub(crate) fn del() -> Command {
    leaf("del", "Delete a key or a range of keys", "key [range_end]").args([
        switch("prefix", "keys that start with the key"),
        switch("prev-kv", "print the deleted pairs"),
        switch("from-key", "the key and all after it"),
        switch(
            "range",
            "delete a range without a pause for second thoughts",
        ),
    ])
}

/// `watch`, also as a line of an interactive watch.
pub(crate) fn watch() -> Command {
    leaf("watch", "Watch keys for changes", "key [range_end]")
        .args([
            switch("interactive", "read watch commands from standard input").short('i'),
            switch("prefix", "keys that start with the key"),
            value("rev", "0", "revision to start at"),
            switch("prev-kv", "print the pair as it was"),
            switch("progress-notify", "print progress now and then"),
        ])
        .arg(
            Arg::new("exec")
                .num_args(0..)
                .last(true)
                .value_parser(clap::value_parser!(OsString))
                .help("command to run for each event"),
        )
}

fn txn() -> Command {
    leaf("txn", "Run a transaction read from standard input", "")
        .arg(switch("interactive", "print prompts").short('i'))
}

fn compaction() -> Command {
    leaf("compaction", "Forget history before a revision", "revision")
        .alias("compact")
        .arg(switch("physical", "wait until the space is free"))
}

fn lease() -> Command {
    group("lease", "Leases").subcommands([
        leaf("grant", "Create a lease", "ttl in seconds"),
        leaf("revoke", "End a lease and delete its keys", "lease id"),
        leaf("timetolive", "What is left of a lease", "lease id")
            .arg(switch("keys", "list the attached keys")),
        leaf("list", "List the leases", ""),
        leaf("keep-alive", "Renew a lease until it is gone", "lease id")
            .arg(switch("once", "renew it once")),
    ])
}

fn cluster_commands() -> Vec<Command> {
    let cluster = || switch("cluster", "all members of the cluster").global(true);
    let peers = || value("peer-urls", "", "peer addresses, separated by commas");
    vec![
        group("member", "Members of the cluster").subcommands([
            leaf("add", "Add a member", "name").args([peers(), switch("learner", "as a learner")]),
            leaf("remove", "Remove a member", "member id"),
            leaf("update", "Change the addresses of a member", "member id").arg(peers()),
            leaf("list", "List the members", "").arg(value(
                "consistency",
                "l",
                "linearizable (l) or serializable (s)",
            )),
            leaf("promote", "Make a learner a voter", "member id"),
            leaf(
                "repair",
                "Give a member whose state differs the leader's (quoin only)",
                "member id",
            ),
        ]),
        group("endpoint", "State of single members")
            .arg(cluster())
            .subcommands([
                leaf("health", "Whether members answer", ""),
                leaf("status", "State of members", ""),
                leaf("hashkv", "Hash of the history of members", "").arg(value(
                    "rev",
                    "0",
                    "largest revision to hash",
                )),
            ]),
        group("alarm", "Alarms").subcommands([
            leaf("disarm", "Lower all alarms", ""),
            leaf("list", "List the alarms", ""),
        ]),
        leaf("defrag", "Give free space back to the file system", "").arg(cluster()),
        leaf("move-leader", "Hand the leadership over", "member id"),
        crate::file_verbs::snapshot(),
        group("downgrade", "Going back to an earlier release").subcommands([
            leaf("validate", "Check that it is possible", "version"),
            leaf("enable", "Start", "version"),
            leaf("cancel", "Stop", ""),
        ]),
    ]
}

fn auth_commands() -> Vec<Command> {
    let range = || {
        [
            switch("prefix", "keys that start with the key"),
            switch("from-key", "the key and all after it"),
        ]
    };
    let interactive =
        || switch("interactive", "ask for the password on the terminal").default_value("true");
    vec![
        group("auth", "Authentication").subcommands([
            leaf("enable", "Turn it on", ""),
            leaf("disable", "Turn it off", ""),
            leaf("status", "Whether it is on", ""),
        ]),
        group("user", "Users").subcommands([
            leaf("add", "Add a user", "name or name:password").args([
                interactive(),
                value("new-user-password", "", "password of the user"),
                switch("no-password", "a user without password"),
            ]),
            leaf("delete", "Delete a user", "name"),
            leaf("get", "Roles of a user", "name")
                .arg(switch("detail", "permissions of the roles too")),
            leaf("list", "List the users", ""),
            leaf("passwd", "Set a password", "name").arg(interactive()),
            leaf("grant-role", "Give a role to a user", "user role"),
            leaf("revoke-role", "Take a role from a user", "user role"),
        ]),
        group("role", "Roles").subcommands([
            leaf("add", "Add a role", "name"),
            leaf("delete", "Delete a role", "name"),
            leaf("get", "Permissions of a role", "name"),
            leaf("list", "List the roles", ""),
            leaf(
                "grant-permission",
                "Give a permission",
                "role type key [end]",
            )
            .args(range()),
            leaf("revoke-permission", "Take a permission", "role key [end]").args(range()),
        ]),
    ]
}

/// Work on the directories of a lost cluster.
fn recover() -> Command {
    let founder = [
        ("data-dir", "", "directory to make, with --apply"),
        (
            "wal-dir",
            "",
            "directory of its log, if not below --data-dir",
        ),
        ("name", "default", "name of the new member"),
        (
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "its peer addresses",
        ),
        (
            "initial-cluster",
            "",
            "members of the new cluster; this one alone by default",
        ),
        (
            "initial-cluster-token",
            "",
            "by default made from what is recovered",
        ),
        (
            "backend-engine",
            "",
            "engine of the new state; that of the old one by default",
        ),
        (
            "work-dir",
            "",
            "where copies are opened; needs room for the two largest states",
        ),
    ];
    leaf(
        "recover",
        "Make a cluster from what is left of a lost one; no member may run",
        "data directories that survived, DIR or DIR=WALDIR",
    )
    .arg(switch(
        "plan",
        "say what they hold and what may be missing; changes nothing",
    ))
    .arg(switch(
        "apply",
        "make a new data directory from the freshest one",
    ))
    .arg(switch(
        "accept-missing-writes",
        "even if acknowledged writes may be missing",
    ))
    .args(founder.map(|(name, default, help)| value(name, default, help)))
}

fn other_commands() -> Vec<Command> {
    vec![
        recover(),
        crate::file_verbs::import(),
        crate::file_verbs::export(),
        leaf("lock", "Hold a lock", "name [command]").arg(value(
            "ttl",
            "10",
            "seconds that the lock outlives a dead holder",
        )),
        leaf("elect", "Take part in an election", "name [proposal]")
            .arg(switch("listen", "observe").short('l')),
        leaf("make-mirror", "Copy keys to another cluster", "destination"),
        group("check", "Measure a cluster").subcommands([
            leaf("perf", "Throughput and latency", ""),
            leaf("datascale", "Memory for many keys", ""),
        ]),
        leaf("completion", "Completions for a shell", "shell"),
        leaf("options", "List the global options", ""),
        leaf("version", "Versions of this program and of the API", ""),
    ]
}

/// A verb with verbs below it.
pub(crate) fn group(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .infer_subcommands(true)
        .args_override_self(true)
}

/// A verb that does something with its arguments.
pub(crate) fn leaf(name: &'static str, about: &'static str, arguments: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .args_override_self(true)
        .arg(
            Arg::new(ARGUMENTS)
                .num_args(0..)
                .value_parser(clap::value_parser!(OsString))
                .help(arguments),
        )
}

pub(crate) fn value(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::Set)
        .allow_hyphen_values(true)
        .default_value(default)
        .hide_default_value(default.is_empty())
        .help(help)
}

pub(crate) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .value_name("bool")
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flags;

    fn parse(line: &[&str]) -> Result<ArgMatches, clap::Error> {
        root().try_get_matches_from(std::iter::once("quoinctl").chain(line.iter().copied()))
    }

    #[test]
    fn the_tree_is_consistent() {
        root().debug_assert();
    }

    #[test]
    fn flags_stand_anywhere_and_the_last_one_wins() {
        let matches = parse(&[
            "-w",
            "json",
            "get",
            "a",
            "--limit=1",
            "-w=fields",
            "--limit",
            "-2",
        ]);
        let matches = matches.unwrap();
        let (verb, matches) = matches.subcommand().unwrap();
        let flags = Flags(matches);
        assert_eq!((verb, flags.text("write-out")), ("get", "fields"));
        assert_eq!(flags.integer("limit").unwrap(), -2);
        assert_eq!(flags.arguments(), [b"a"]);
    }

    #[test]
    fn a_switch_takes_its_value_only_after_an_equals_sign() {
        let matches = parse(&["get", "--prefix", "false", "--keys-only=false"]).unwrap();
        let flags = Flags(matches.subcommand().unwrap().1);
        assert!(flags.switch("prefix").unwrap() && !flags.switch("keys-only").unwrap());
        assert_eq!(flags.texts(), ["false"]);
    }

    #[test]
    fn commands_may_be_cut_short() {
        for line in [
            &["compact", "3"][..],
            &["lea", "gr", "5"],
            &["endp", "heal"],
        ] {
            assert!(parse(line).is_ok(), "{line:?}");
        }
    }

    #[test]
    fn complaints_are_worded_as_in_etcdctl() {
        for (line, text) in [
            (&["get", "--bogus", "a"][..], "unknown flag: --bogus"),
            (&["put", "a", "-x"], "unknown shorthand flag: 'x' in -x"),
            (&["bogus"], "unknown command \"bogus\" for \"quoinctl\""),
        ] {
            assert_eq!(explain(&parse(line).unwrap_err()), text);
        }
    }
}
