//! The arguments of `quoin local`.

use std::path::PathBuf;

use clap::Parser;

/// Start a cluster of several members on this machine and show it working.
///
/// Members are separate processes; their data and logs stay below the
/// directory. Ctrl-C stops all of them; starting again continues with the data.
#[derive(Clone, Debug, Parser)]
#[command(name = "quoin local", version)]
pub(crate) struct Arguments {
    /// How many members.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) members: u16,

    /// Where data and logs go.
    #[arg(long, default_value = "quoin-local")]
    pub(crate) directory: PathBuf,

    /// First port: member n takes base + 10 (n - 1) for clients, the next for
    /// peers.
    #[arg(long, default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..=65000))]
    pub(crate) base_port: u16,

    /// Stop everything after the demonstration instead of staying.
    #[arg(long)]
    pub(crate) exit_after_demo: bool,
}
