//! The verbs that make, look at and take over database files.
//!
//! Those of `snapshot` are etcdctl's and etcdutl's, with their flags.

use clap::{Arg, Command};

use crate::verbs::{group, leaf, switch, value};

/// `snapshot`
pub(crate) fn snapshot() -> Command {
    group("snapshot", "Copies of a store in a file").subcommands([
        leaf("save", "Save the state of a member to a file", "file"),
        leaf("status", "What a file holds", "file"),
        leaf(
            "restore",
            "Make the data directory of a member of a new cluster from a file",
            "file",
        )
        .args(new_member())
        .arg(switch(
            "skip-hash-check",
            "take the file even without its SHA-256, or with a wrong one",
        ))
        .arg(value(
            "initial-memory-map-size",
            "0",
            "accepted and ignored",
        )),
    ])
}

/// `import`
pub(crate) fn import() -> Command {
    leaf(
        "import",
        "Make a member of a new cluster from a file of etcd",
        "",
    )
    .arg(value(
        "from-etcd",
        "",
        "snapshot, or member/snap/db of an etcd that does not run",
    ))
    .args(new_member())
    .arg(switch(
        "skip-hash-check",
        "do not compare the SHA-256 of a snapshot",
    ))
}

/// `export`
pub(crate) fn export() -> Command {
    leaf(
        "export",
        "Write the state of a member to a file of etcd",
        "",
    )
    .args([
        value("to-etcd", "", "file to write, for etcdutl snapshot restore"),
        value(
            "data-dir",
            "",
            "data directory of a member that does not run, instead of --endpoints",
        ),
        value(
            "wal-dir",
            "",
            "directory of its log, if not below --data-dir",
        ),
        value(
            "work-dir",
            "",
            "where a copy of its state is opened; beside the file by default",
        ),
    ])
}

/// Flags that describe a member that is to be made.
fn new_member() -> [Arg; 10] {
    [
        value("data-dir", "", "directory to make; <name>.etcd by default"),
        value(
            "wal-dir",
            "",
            "directory of its log, if not below --data-dir",
        ),
        value("name", "default", "name of the member"),
        value(
            "initial-cluster",
            "default=http://localhost:2380",
            "all members of the new cluster",
        ),
        value(
            "initial-cluster-token",
            "etcd-cluster",
            "token of the new cluster",
        ),
        value(
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "peer addresses of the member",
        ),
        value(
            "bump-revision",
            "0",
            "revisions to skip behind the last one of the file",
        ),
        switch(
            "mark-compacted",
            "forget all history; needed with --bump-revision, refused without",
        ),
        value("backend-engine", "sled", "sled or redb"),
        switch(
            "accept-no-auth",
            "take a file with authentication switched on, which is not enforced",
        ),
    ]
}
