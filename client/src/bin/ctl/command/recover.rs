//! recover: the worst day. Works on data directories, asks no server.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoin_server::base::error_chain::error_chain;
use quoin_server::offline::{Founder, OfflineError, Plan, Progress, Recovery, Source};

use crate::connect;
use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::Flags;
use crate::output::Printer;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let (plan, apply) = (flags.switch("plan")?, flags.switch("apply")?);
    let sources: Vec<Source> = flags
        .texts()
        .iter()
        .map(|text| Source::parse(text))
        .collect();
    if plan == apply || sources.is_empty() {
        let text = "recover expects --plan or --apply, and the data directories that survived";
        return Err(Failure::arguments(text));
    }
    let printer = connect::printer(flags)?;
    let work = work_directory(flags, apply);
    if plan {
        return aside(move || show(&sources, &work, printer)).await;
    }
    let target = Target::read(flags)?;
    aside(move || recover(&sources, &work, &target)).await
}

/// Runs what reads disks for long.
pub(super) async fn aside(
    work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(STATUS_ERROR, error.to_string()))?
}

fn show(sources: &[Source], work: &Path, printer: Printer) -> Result<(), Failure> {
    let plan = Plan::make(sources, work, &mut reporter()).map_err(failure)?;
    printer.print_plan(&plan)
}

fn recover(sources: &[Source], work: &Path, target: &Target) -> Result<(), Failure> {
    // Before anything is read: the flags alone may be wrong.
    target.founder(None, "sled").map_err(failure)?;
    let mut told = reporter();
    let plan = Plan::make(sources, work, &mut told).map_err(failure)?;
    let engine = plan.chosen().map_or("", |report| report.engine.as_str());
    let engine = if engine.is_empty() { "sled" } else { engine }.to_owned();
    let founder = target
        .founder(plan.default_token(), &engine)
        .map_err(failure)?;
    let verdict = plan.verdict().summary();
    let recovery = plan.apply(founder, target.accept_missing_writes, &mut told);
    let recovery = recovery.map_err(failure)?;
    crate::output::write(target.report(&recovery, &verdict, &engine).as_bytes())
}

/// Copies of states are opened beside the new directory, or in the system's place.
fn work_directory(flags: Flags<'_>, apply: bool) -> PathBuf {
    let given = flags.text("work-dir");
    let beside = Path::new(flags.text("data-dir")).parent();
    let beside = beside.filter(|parent| apply && parent.is_dir());
    match (given, beside) {
        ("", Some(parent)) => parent.to_owned(),
        ("", None) => std::env::temp_dir(),
        _ => given.into(),
    }
}

/// What is to be made.
struct Target {
    /// Flags of the server that describe it, without token and engine.
    flags: Vec<String>,
    data_directory: String,
    peer_urls: String,
    is_alone: bool,
    token: String,
    engine: String,
    accept_missing_writes: bool,
}

impl Target {
    fn read(flags: Flags<'_>) -> Result<Self, Failure> {
        let data_directory = flags.text("data-dir").to_owned();
        if data_directory.is_empty() {
            let text = "recover --apply expects --data-dir, a directory to make";
            return Err(Failure::arguments(text));
        }
        let mut server = Vec::new();
        for name in ["data-dir", "wal-dir", "name", "initial-advertise-peer-urls"] {
            let value = flags.text(name);
            if !value.is_empty() {
                server.push(format!("--{name}={value}"));
            }
        }
        let (name, peer_urls) = (
            flags.text("name"),
            flags.text("initial-advertise-peer-urls"),
        );
        let alone = peer_urls.split(',').map(|url| format!("{name}={url}"));
        let (given, alone) = (
            flags.text("initial-cluster"),
            alone.collect::<Vec<_>>().join(","),
        );
        let cluster = if given.is_empty() { &alone } else { given };
        server.push(format!("--initial-cluster={cluster}"));
        Ok(Self {
            flags: server,
            data_directory,
            peer_urls: peer_urls.to_owned(),
            is_alone: cluster == alone,
            token: flags.text("initial-cluster-token").to_owned(),
            engine: flags.text("backend-engine").to_owned(),
            accept_missing_writes: flags.switch("accept-missing-writes")?,
        })
    }

    fn founder(&self, token: Option<String>, engine: &str) -> Result<Founder, OfflineError> {
        let mut flags = self.flags.clone();
        let token = match (self.token.as_str(), token) {
            ("", token) => token,
            (given, _) => Some(given.to_owned()),
        };
        flags.extend(token.map(|token| format!("--initial-cluster-token={token}")));
        flags.push(format!("--backend-engine={}", self.engine(engine)));
        Founder::from_flags(&flags)
    }

    fn engine<'a>(&'a self, of_source: &'a str) -> &'a str {
        if self.engine.is_empty() {
            of_source
        } else {
            &self.engine
        }
    }

    /// What was made, and what to do now.
    fn report(&self, recovery: &Recovery, verdict: &str, engine: &str) -> String {
        let made = if recovery.was_there {
            "was made by an earlier run"
        } else {
            "made"
        };
        let mut text = format!(
            "{} {made}: member {:x} of new cluster {:x}, {} keys at revision {}, from {}\n{verdict}\n",
            self.data_directory,
            recovery.member_id,
            recovery.cluster_id,
            recovery.keys_count,
            recovery.revision,
            recovery.source.directory.display(),
        );
        let mut start = self.flags.clone();
        start.retain(|flag| !flag.starts_with("--initial-cluster="));
        start.push(format!("--listen-peer-urls={}", self.peer_urls));
        if self.engine(engine) != "sled" {
            start.push(format!("--backend-engine={}", self.engine(engine)));
        }
        text += &format!(
            "\nStart it, with the flags for clients that it had:\n  quoin {}\n",
            start.join(" ")
        );
        if self.is_alone {
            text += "\nThen add the others, one at a time, each on an empty data directory:\n  \
                     quoinctl member add NAME --peer-urls=URL\n  \
                     quoin --name=NAME --initial-cluster-state=existing \
                     --initial-cluster=... (as `member add` prints it)\n";
        } else {
            text += "\nMake the other members of --initial-cluster from the same directories, each \
                     with its own\n--name, --data-dir and --initial-advertise-peer-urls.\n";
        }
        text + "Keep the old directories, but start no member on them again.\n"
    }
}

fn failure(error: OfflineError) -> Failure {
    Failure::new(STATUS_ERROR, error_chain(&error))
}

/// Says on stderr how far a step is, once a second while it lasts.
pub(super) fn reporter() -> impl FnMut(&Progress) {
    let mut said_at = Instant::now();
    move |progress| {
        if said_at.elapsed() < SAY_EVERY {
            return;
        }
        said_at = Instant::now();
        let Progress {
            step,
            done,
            total,
            unit,
        } = progress;
        crate::complain(&match total {
            0 => format!("{step}: {done} {unit}"),
            _ => format!("{step}: {done} of {total} {unit}"),
        });
    }
}

const SAY_EVERY: Duration = Duration::from_secs(1);
