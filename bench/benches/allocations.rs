//! Heap allocations per put, counted inside three members.
//!
//! This program starts itself as the members: given server flags, it serves
//! like `quoin`, under an allocator that counts. All clients ask the leader,
//! so a follower does nothing but follow. What is printed is checked against
//! the bounds below; exceeding one is an error.

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
};

use quoin_bench::{
    load::{self, Options},
    workload::{
        Workload,
        keys::{Keys, Prefix},
    },
};
use quoin_server::{bootstrap, config, telemetry::metrics::Metrics};
use quoin_tests::cluster::{Cluster, Options as ClusterOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Allocations per put that a follower may make.
const FOLLOWER_MAX: f64 = 2.0;
/// Allocations per put that the leader may make, gRPC included.
const LEADER_MAX: f64 = 15.0;
/// Keys written, all new and then once more.
const KEYS_COUNT: u64 = 100_000;
/// Keys written before anything is counted.
const WARM_UP_COUNT: u64 = 1000;
const VALUE_BYTES: usize = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_member = arguments.iter().any(|text| text.starts_with("--data-dir="));
    let done = if is_member {
        serve(&arguments)
    } else {
        compare(arguments.iter().any(|text| text == "--bench"))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "allocations: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures puts through the leader. In a test run for a moment only, when few
/// puts may share an entry and what an entry costs counts for more of them: the
/// bounds are doubled then.
fn compare(is_long: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let binary = std::env::current_exe()?;
    let options = ClusterOptions::new(3).binary(Some(binary));
    let (cluster, leader) = runtime.block_on(async {
        let cluster = Cluster::start(options).await?;
        let leader = cluster.wait_leader().await?;
        Ok::<_, Failure>((cluster, leader))
    })?;
    let member = |position: usize| cluster.member((leader + position) % 3);
    let port = member(0)?.client_port;
    let endpoints = vec![([127, 0, 0, 1], port).into()];
    let mut load = Options::to_the_end(endpoints, 200, 20, 1);
    let (keys_count, slack) = match is_long {
        true => (KEYS_COUNT, 1.0),
        false => (KEYS_COUNT / 10, 2.0),
    };
    let data = [0, 1, 2].map(|position| member(position).map(|member| member.data.clone()));
    let [leader, first, second] = data;
    let members = [
        ("leader", leader?),
        ("follower", first?),
        ("follower", second?),
    ];
    // What is made once for the first requests is not theirs.
    put_all(&mut load, Prefix::Read, WARM_UP_COUNT)?;
    let mut problems = Vec::new();
    let mut out = std::io::stdout();
    for what in ["new", "present"] {
        let before = counts(&members)?;
        let puts_count = put_all(&mut load, Prefix::Written, keys_count)?;
        writeln!(
            out,
            "heap allocations per put, {puts_count} puts of {what} keys"
        )?;
        for (((role, _), before), after) in members.iter().zip(before).zip(counts(&members)?) {
            let bound = match *role {
                "leader" => LEADER_MAX * slack,
                _ => FOLLOWER_MAX * slack,
            };
            let each = (after - before) as f64 / puts_count;
            writeln!(out, "  {role:9} {each:6.2}   at most {bound}")?;
            if each > bound {
                problems.push(format!("a {role} allocates {each:.2} times per put"));
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.join(", ").into())
}

/// Puts each of so many keys once, and answers how many.
fn put_all(load: &mut Options, prefix: Prefix, keys_count: u64) -> Result<f64, Failure> {
    load.seed += 1;
    let keys = Keys::new(prefix, keys_count);
    let puts = load::run(load, &Workload::fill(keys, VALUE_BYTES))?;
    Ok(puts.recorder.operations_count as f64)
}

/// What each member has counted.
fn counts(members: &[(&str, PathBuf); 3]) -> Result<Vec<u64>, Failure> {
    let counts = members.iter().map(|(_role, data)| counted(data));
    counts.collect()
}

/// The count of the member with this data directory.
fn counted(data: &Path) -> Result<u64, Failure> {
    let mut count = [0; 8];
    UnixStream::connect(counter_of(data))?.read_exact(&mut count)?;
    Ok(u64::from_le_bytes(count))
}

fn counter_of(data: &Path) -> PathBuf {
    data.with_extension("count")
}

/// Serves as a member, and its count to whoever connects.
fn serve(arguments: &[String]) -> Result<(), Failure> {
    let config = config::load(arguments, &[]).map_err(|error| format!("{error:?}"))?;
    let config = config.config;
    let counter = UnixListener::bind(counter_of(&config.data_directory))?;
    thread::spawn(move || {
        for stream in counter.incoming().flatten() {
            let stats = ALLOCATOR.stats();
            let count = (stats.allocations + stats.reallocations) as u64;
            // Who asked has left.
            let _ = (&stream).write_all(&count.to_le_bytes());
        }
    });
    let metrics = Metrics::new(false)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut server = bootstrap::start(Arc::new(config), Arc::new(metrics)).await?;
        server.ready().await?;
        std::future::pending().await
    })
}
