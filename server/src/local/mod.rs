//! `quoin local`: a whole cluster on one machine, to see it work.
//!
//! Members are real processes of this same binary, below one directory, with
//! their log lines in files there. They cannot outlive the command: each asks
//! the kernel to be told when its parent goes. A short demonstration writes on
//! one member, reads on another and watches on a third. Starting again with the
//! same directory continues with its data.

mod arguments;
mod cluster;
mod demonstration;
mod member;
mod paint;
mod settings;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

pub use member::prepare_member;

use self::arguments::Arguments;
use self::cluster::Cluster;
use self::paint::Paint;
use crate::process::{Signals, TerminationSignal};

/// The word on the command line.
pub const COMMAND: &str = "local";
/// The word by which the command starts its members.
pub const MEMBER_COMMAND: &str = "local-member";

/// Why the cluster could not be had or kept; the text is for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LocalError(pub(crate) String);

/// Runs the command with the arguments after its word.
pub fn run(arguments: &[String]) -> ExitCode {
    let words = std::iter::once(format!("quoin {COMMAND}")).chain(arguments.iter().cloned());
    let arguments = match Arguments::try_parse_from(words.map(OsString::from)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    // Members are bound to the life of the thread that starts them, so that
    // everything runs on this one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run_until_stopped(&arguments)),
        Err(error) => Err(LocalError(format!("cannot start a runtime: {error}"))),
    };
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(signal)) => signal.end_process(),
        Err(error) => {
            let paint = Paint::new(io::stderr().is_terminal());
            let _ = writeln!(io::stderr(), "\n  {} {error}\n", paint.red("error"));
            ExitCode::FAILURE
        }
    }
}

async fn run_until_stopped(arguments: &Arguments) -> Result<Option<TerminationSignal>, LocalError> {
    let mut signals =
        Signals::listen().map_err(|error| LocalError(format!("cannot catch signals: {error}")))?;
    let paint = Paint::new(io::stdout().is_terminal());
    let plan = settings::claim(arguments)?;
    let mut cluster = Cluster::start(plan)?;
    let result = tokio::select! {
        signal = signals.next() => Ok(Some(signal)),
        result = show_and_stay(&mut cluster, arguments, paint) => result.map(|()| None),
    };
    if arguments.exit_after_demo || result.is_err() || matches!(result, Ok(Some(_))) {
        say(&format!("\n  {}\n", paint.dim("stopping all members")));
    }
    cluster.stop().await;
    result
}

async fn show_and_stay(
    cluster: &mut Cluster,
    arguments: &Arguments,
    paint: Paint,
) -> Result<(), LocalError> {
    say(&demonstration::starting_text(
        cluster.plan(),
        arguments,
        paint,
    ));
    cluster.wait_ready(&mut |line| say(line), paint).await?;
    demonstration::show(cluster.plan(), paint, &mut |line| say(line)).await?;
    if arguments.exit_after_demo {
        return Ok(());
    }
    say(&demonstration::next_text(cluster.plan(), paint));
    cluster.wait_for_a_death().await
}

/// Writes to the terminal; a reader that went away is not our error.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
