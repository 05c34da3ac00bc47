//! What was run, on what, and how to read the figures.

use std::fmt::{Result, Write};

use crate::{
    compare::{
        plan::{KEYS_READ_COUNT, KEYS_WRITTEN_COUNT},
        session::Session,
    },
    flags::CompareFlags,
};

/// Writes the command, the machine, and what holds for every figure.
pub(super) fn write(page: &mut String, session: &Session) -> Result {
    let flags = &session.flags;
    writeln!(page, "Made by:\n\n```\n{}\n```\n", command(flags))?;
    if flags.quick {
        writeln!(
            page,
            "A quick run shows that everything runs. Its figures are not to be trusted.\n"
        )?;
    }
    let machine = &session.machine;
    let [etcd, quoin] = &session.systems;
    let sources = &machine.commit;
    let rows = [
        ("processor", machine.processor.clone()),
        ("memory", machine.memory.clone()),
        ("kernel", machine.kernel.clone()),
        ("4 KiB write and fdatasync", machine.sync.clone()),
        ("load average before", machine.load.clone()),
        ("load average after", session.load_after.clone()),
        (etcd.name, etcd.version.clone()),
        (quoin.name, format!("{}, sources {sources}", quoin.version)),
    ];
    writeln!(page, "| | |\n| --- | --- |")?;
    for (name, value) in rows {
        writeln!(page, "| {name} | {value} |")?;
    }
    let value_bytes = flags.value_bytes;
    writeln!(
        page,
        "\nBoth systems run in turn on this machine, alternating which goes first, every round \
         on fresh\ndirectories and with the same flags; members, clients and disk share it. \
         Unless said otherwise, values\nhave {value_bytes} bytes and keys 16; puts and \
         transactions spread over {KEYS_WRITTEN_COUNT} keys, reads over {KEYS_READ_COUNT}.\n\
         Related works run after each other on one cluster. Connections are spread over all \
         members, the\nfirst one to the leader. Ratios are Quoin over etcd, paired by round: the \
         median, and in parentheses\nleast and greatest. Below 1 Quoin is lower, which is better \
         for all but throughput. CPU is user and\nsystem time of the server processes from \
         `/proc`.\n"
    )
}

/// The command without paths, which differ between machines.
fn command(flags: &CompareFlags) -> String {
    let mut command = "cargo run --release -p quoin-bench -- compare".to_owned();
    let CompareFlags {
        rounds,
        seconds,
        warm_up,
        value_bytes,
        loaded_keys,
        ..
    } = flags;
    if flags.quick {
        command.push_str(" --quick");
    } else {
        command.push_str(&format!(
            " --rounds {rounds} --seconds {seconds} --warm-up {warm_up} \
             --loaded-keys {loaded_keys}"
        ));
    }
    command.push_str(&format!(" --value-bytes {value_bytes}"));
    if let Some(gib) = flags.growth {
        command.push_str(&format!(" --growth {gib}"));
    }
    for only in &flags.only {
        command.push_str(" --only ");
        command.push_str(only);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::tests::flags;

    #[test]
    fn the_command_repeats_the_run_without_paths() {
        let mut flags = flags();
        flags.etcd = Some("somewhere/etcd".into());
        flags.only = vec!["put".to_owned()];
        let shown = command(&flags);
        assert!(shown.contains("--rounds 5") && shown.ends_with("--only put"));
        assert!(!shown.contains("somewhere"));
        flags.quick = true;
        let shown = command(&flags.resolved());
        assert!(shown.contains("--quick") && !shown.contains("--rounds"));
    }
}
