//! Runs clients of other languages, and etcdctl, against a cluster of three, and
//! carries a store from etcd to Quoin and back.
//!
//! Prints a table and exits non-zero where something failed. Needs the tools
//! of the languages and their registries; see docs/TESTING.md.
#![expect(clippy::print_stdout, reason = "a command prints its results")]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use clap::{Parser, ValueEnum};
use quoin_tests::{
    Error, Result,
    cluster::{Cluster, Options},
    interop::{care, ctl, etcd_files, languages::Language},
};

/// Runs clients of other languages against a cluster of three.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server that is tested.
    #[arg(long, value_enum, default_value = "quoin")]
    target: Target,
    /// The reference server's binary.
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// The reference client's binary.
    #[arg(long, default_value = "etcdctl")]
    etcdctl: PathBuf,
    /// The reference server's tool for files.
    #[arg(long, default_value = "etcdutl")]
    etcdutl: PathBuf,
    /// Only these: python, node, rust, go, etcdctl, care, etcd-files.
    only: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    Quoin,
    Etcd,
}

/// One row of the table.
struct Row {
    name: &'static str,
    seconds: f32,
    problem: Option<String>,
}

/// Commands whose output is compared with what the reference server makes of them.
#[derive(Clone, Copy, Debug)]
enum Session {
    /// Keys, leases, watches.
    Ctl,
    /// Members, leadership, hashes, space, alarms.
    Care,
}

impl Session {
    fn name(self) -> &'static str {
        match self {
            Self::Ctl => "etcdctl",
            Self::Care => "care",
        }
    }

    async fn row(self, etcdctl: &Path, reference: &Options, target: &Options) -> Result<Row> {
        let started = Instant::now();
        let flags = match self {
            Self::Ctl => Vec::new(),
            Self::Care => care::flags(),
        };
        let expected = Cluster::start(reference.clone().flags(&flags)).await?;
        let found = Cluster::start(target.clone().flags(&flags)).await?;
        let (expected, found) = (expected.urls(), found.urls());
        let (compared, count) = match self {
            Self::Ctl => (
                ctl::compare(etcdctl, &expected, &found).await,
                ctl::commands_count(),
            ),
            Self::Care => (
                care::compare(etcdctl, &expected, &found).await,
                care::commands_count(),
            ),
        };
        let problem = match compared {
            Ok(differences) if differences.is_empty() => None,
            Ok(differences) => Some(format!(
                "{} of {count} commands differ\n{}",
                differences.len(),
                differences.join("\n"),
            )),
            Err(error) => Some(error.to_string()),
        };
        Ok(Row {
            name: self.name(),
            seconds: started.elapsed().as_secs_f32(),
            problem,
        })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|one| one == name);
    let reference = Options::new(3).binary(Some(arguments.etcd.clone()));
    let target = match arguments.target {
        Target::Quoin => Options::new(3),
        Target::Etcd => reference.clone(),
    };
    for binary in [&arguments.etcd, &arguments.etcdctl] {
        let known = Command::new(binary).arg("--help").output();
        known.map_err(Error::io(format!(
            "{} cannot be run; put etcd and etcdctl 3.7 into PATH, or name them with --etcd and --etcdctl",
            binary.display()
        )))?;
    }
    let mut rows = Vec::new();
    for session in [Session::Ctl, Session::Care] {
        if wanted(session.name()) {
            rows.push(session.row(&arguments.etcdctl, &reference, &target).await?);
        }
    }
    if wanted("etcd-files") {
        rows.push(etcd_files(&arguments).await);
    }
    let languages = Language::ALL
        .into_iter()
        .filter(|language| wanted(language.name()));
    let languages: Vec<_> = languages.collect();
    if !languages.is_empty() {
        let cluster = Cluster::start(target).await?;
        for language in languages {
            rows.push(run(language, &cluster).await);
        }
    }
    Ok(report(&rows))
}

async fn etcd_files(arguments: &Arguments) -> Row {
    let started = Instant::now();
    let (etcd, etcdctl) = (&arguments.etcd, &arguments.etcdctl);
    let mut tell = |line: &str| println!("{line}");
    let run = etcd_files::run(etcd, etcdctl, &arguments.etcdutl, &mut tell).await;
    Row {
        name: "etcd-files",
        seconds: started.elapsed().as_secs_f32(),
        problem: run.err().map(|error| error.to_string()),
    }
}

async fn run(language: Language, cluster: &Cluster) -> Row {
    let mut started = Instant::now();
    let problem = match language.set_up() {
        Err(error) => Some(error.to_string()),
        Ok(()) => {
            started = Instant::now();
            language
                .check(&cluster.urls())
                .await
                .err()
                .map(|error| error.to_string())
        }
    };
    Row {
        name: language.name(),
        seconds: started.elapsed().as_secs_f32(),
        problem,
    }
}

fn report(rows: &[Row]) -> ExitCode {
    for row in rows {
        if let Some(problem) = &row.problem {
            println!("{}: {problem}\n", row.name);
        }
    }
    println!("{:<10} {:<8} {:>8}", "client", "result", "seconds");
    for row in rows {
        let result = if row.problem.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        println!("{:<10} {result:<8} {:>8.1}", row.name, row.seconds);
    }
    ExitCode::from(u8::from(rows.iter().any(|row| row.problem.is_some())))
}
