//! quoinctl: etcdctl's verbs, flags, output and exit statuses, for any cluster
//! that speaks the etcd v3 API.
//!
//! The command line is read by [`verbs`] and [`flags`], run by [`command`], printed by
//! [`output`]. Everything that fails becomes one [`failure::Failure`] and ends
//! here.

mod command;
mod connect;
mod failure;
mod file_verbs;
mod flags;
mod log;
mod output;
mod verbs;

use std::io::Write;
use std::process::ExitCode;

use crate::failure::{Failure, STATUS_ERROR};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                complain(&format!("Error: {}", failure.text));
            }
            ExitCode::from(failure.status)
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(matches) = verbs::read(std::env::args_os())? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(STATUS_ERROR, error.to_string()))?;
    let result = runtime.block_on(command::run(&matches));
    // Reading stdin blocks a thread that cannot be interrupted.
    runtime.shutdown_background();
    result
}

/// One line on stderr.
fn complain(line: &str) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
