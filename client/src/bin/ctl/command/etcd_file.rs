//! snapshot status, snapshot restore, import, export: files of etcd, without a server
//!
//! Texts of `status` and `restore`: etcdutl 3.7, observed.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use quoin_server::offline::{
    Changes, EtcdError, EtcdSource, Founder, HashCheck, Import, Source, StateExport,
    etcd_file_status,
};
use serde_json::{Value, json};

use super::recover::{aside, reporter};
use super::snapshot;
use crate::connect;
use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::Flags;
use crate::log;
use crate::output::{Reply, size};

pub(super) async fn status(flags: Flags<'_>) -> Result<(), Failure> {
    let path = one_file(flags, "snapshot status requires exactly one argument")?;
    let printer = connect::printer(flags)?;
    aside(move || {
        let status = etcd_file_status(&path).map_err(|error| failure(&error))?;
        printer.print(&Reply::FileStatus(status))
    })
    .await
}

pub(super) async fn restore(flags: Flags<'_>) -> Result<(), Failure> {
    let path = one_file(flags, "snapshot restore requires exactly one argument")?;
    let check = match flags.switch("skip-hash-check")? {
        true => HashCheck::Skipped,
        false => HashCheck::Required,
    };
    let target = Target::read(flags)?;
    aside(move || {
        let fields = target.log_fields(&path);
        log::console("restoring snapshot", &fields);
        target.make(&path, check)?;
        log::console("restored snapshot", &fields);
        Ok(())
    })
    .await
}

pub(super) async fn import(flags: Flags<'_>) -> Result<(), Failure> {
    let path = flags.text("from-etcd");
    if path.is_empty() || !flags.texts().is_empty() {
        return Err(Failure::arguments(
            "import expects --from-etcd=<file>, and no other argument",
        ));
    }
    let path = PathBuf::from(path);
    let check = match flags.switch("skip-hash-check")? {
        true => HashCheck::Skipped,
        false => HashCheck::IfPresent,
    };
    let target = Target::read(flags)?;
    aside(move || {
        let (import, revision) = target.make(&path, check)?;
        crate::output::write(target.report(&import, revision).as_bytes())
    })
    .await
}

/// `export` from the directory of a member that does not run.
pub(super) async fn export(flags: Flags<'_>) -> Result<(), Failure> {
    let path = PathBuf::from(flags.text("to-etcd"));
    let source = Source {
        data_directory: flags.text("data-dir").into(),
        wal_directory: match flags.text("wal-dir") {
            "" => None,
            given => Some(given.into()),
        },
    };
    let work = match flags.text("work-dir") {
        // Beside what will be written, where there must be room anyway.
        "" => snapshot::folder(&path).to_owned(),
        given => given.into(),
    };
    aside(move || {
        let state = StateExport::open(&source, &work, &mut reporter());
        let state = state.map_err(|error| failure(&error))?;
        for damage in &state.damage {
            crate::complain(&format!("damaged: {damage}"));
        }
        let part = PathBuf::from(format!("{}.part", path.display()));
        let written = write(&state, &part, &path);
        if written.is_err() {
            // Best effort: the failure itself is what matters.
            let _ = std::fs::remove_file(&part);
        }
        let bytes = written?;
        let mut text = format!(
            "Exported to {}: revision {}, {}\n",
            path.display(),
            state.revision,
            size(bytes)
        );
        if state.uncommitted_count > 0 {
            text.push_str(&format!(
                "The last {} entries of its log are in it, which this member did not know to be \
                 committed: compare with the other members.\n",
                state.uncommitted_count
            ));
        }
        crate::output::write(text.as_bytes())
    })
    .await
}

/// Writes under a temporary name and renames what is whole and on disk.
fn write(state: &StateExport, part: &Path, path: &Path) -> Result<u64, Failure> {
    let unwritten = |error: std::io::Error| snapshot::file(path, &error);
    let mut out = BufWriter::new(snapshot::create(part).map_err(unwritten)?);
    let bytes = state.write(&mut out).map_err(|error| failure(&error))?;
    let file = out
        .into_inner()
        .map_err(|error| unwritten(error.into_error()))?;
    file.sync_all().map_err(unwritten)?;
    snapshot::rename(part, path).map_err(unwritten)?;
    Ok(bytes)
}

fn one_file(flags: Flags<'_>, complaint: &str) -> Result<PathBuf, Failure> {
    match &flags.texts()[..] {
        [path] => Ok(path.into()),
        _ => Err(Failure::arguments(complaint)),
    }
}

/// What is to be made, and how it differs from the file.
struct Target {
    /// Flags of the server that describe it.
    flags: Vec<String>,
    data_directory: String,
    wal_directory: String,
    changes: Changes,
    accepts_no_auth: bool,
}

impl Target {
    fn read(flags: Flags<'_>) -> Result<Self, Failure> {
        let skipped = flags.text("bump-revision");
        let skipped_revisions = skipped.parse().map_err(|_| {
            let text = format!("invalid argument \"{skipped}\" for \"--bump-revision\" flag");
            Failure::new(STATUS_ERROR, text)
        })?;
        let is_compacted = flags.switch("mark-compacted")?;
        let text = match (skipped_revisions > 0, is_compacted) {
            (true, false) => "--mark-compacted required if --revision-bump > 0",
            (false, true) => "--mark-compacted disallowed unless --revision-bump > 0",
            _ => "",
        };
        if !text.is_empty() {
            return Err(Failure::arguments(text));
        }
        let name = flags.text("name");
        let data_directory = match flags.text("data-dir") {
            "" => format!("{name}.etcd"),
            given => given.to_owned(),
        };
        let mut described = vec![format!("--data-dir={data_directory}")];
        for flag in FLAGS_OF_THE_SERVER {
            if !flags.text(flag).is_empty() {
                described.push(format!("--{flag}={}", flags.text(flag)));
            }
        }
        let wal_directory = match flags.text("wal-dir") {
            "" => format!("{data_directory}/member/wal"),
            given => given.to_owned(),
        };
        Ok(Self {
            flags: described,
            data_directory,
            wal_directory,
            changes: Changes {
                skipped_revisions,
                is_compacted,
            },
            accepts_no_auth: flags.switch("accept-no-auth")?,
        })
    }

    /// Makes the directory; returns what the file holds, and the newest revision.
    fn make(&self, path: &Path, check: HashCheck) -> Result<(Import, i64), Failure> {
        let founder = Founder::from_flags(&self.flags).map_err(|error| failure(&error))?;
        let source = EtcdSource::open(path, check).map_err(|error| failure(&error))?;
        if !self.accepts_no_auth {
            source.check_auth().map_err(|error| failure(&error))?;
        }
        let made = source
            .make(founder.clone(), self.changes)
            .map_err(|error| match &error {
                EtcdError::Directory(inner) => failure(inner),
                other => failure(other),
            })?;
        self.tell(&source, &founder);
        Ok((source.import().clone(), made.revision))
    }

    fn tell(&self, source: &EtcdSource, founder: &Founder) {
        let import = source.import();
        let revision = import.revision_after(self.changes);
        if self.changes.skipped_revisions > 0 {
            let fields = [
                ("latest-revision", json!(import.revision)),
                ("bump-amount", json!(self.changes.skipped_revisions)),
                ("new-latest-revision", json!(revision)),
            ];
            log::console("bumping latest revision", &fields);
        }
        if self.changes.is_compacted {
            log::console(
                "marking revision compacted",
                &[("revision", json!(revision))],
            );
        }
        for (id, _name, peer_urls) in founder.members() {
            let fields = [
                ("cluster-id", json!(format!("{:x}", founder.cluster_id()))),
                ("local-member-id", json!("0")),
                ("added-peer-id", json!(format!("{id:x}"))),
                ("added-peer-peer-urls", json!(peer_urls)),
                ("added-peer-is-learner", json!(false)),
            ];
            log::console("added member", &fields);
        }
        if import.alarms_count > 0 {
            let kept = [("alarms", json!(import.alarms_count))];
            log::console(
                "alarms of the file are kept, see quoinctl alarm list",
                &kept,
            );
        }
        if import.has_auth {
            log::console(
                "authentication is kept switched on but is NOT enforced",
                &[],
            );
        }
    }

    fn log_fields(&self, path: &Path) -> [(&'static str, Value); 3] {
        [
            ("path", json!(path.display().to_string())),
            ("wal-dir", json!(self.wal_directory)),
            ("data-dir", json!(self.data_directory)),
        ]
    }

    fn report(&self, import: &Import, revision: i64) -> String {
        let compacted = match import.compact_revision {
            _ if self.changes.is_compacted => format!("compacted up to {revision}"),
            Some(compacted) => format!("compacted up to {compacted}"),
            None => "never compacted".to_owned(),
        };
        let hurried = if import.has_hash {
            ""
        } else {
            "The file is no snapshot but etcd's own: it has everything only if etcd was ended \
             with SIGTERM and said so in its log. If it was killed, start it once more and take \
             a snapshot.\n"
        };
        format!(
            "{hurried}Imported into {}: revision {revision}, {compacted}, {} leases, {} users, {} alarms\n\
             Start the member with the same --name, --initial-cluster, \
             --initial-cluster-token and --initial-advertise-peer-urls.\n",
            self.data_directory, import.leases_count, import.users_count, import.alarms_count
        )
    }
}

/// Passed on as they are.
const FLAGS_OF_THE_SERVER: [&str; 6] = [
    "wal-dir",
    "name",
    "initial-cluster",
    "initial-cluster-token",
    "initial-advertise-peer-urls",
    "backend-engine",
];

/// An error with its causes.
fn failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    let text = quoin_server::base::error_chain::error_chain(error);
    Failure::new(STATUS_ERROR, text)
}
