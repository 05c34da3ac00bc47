//! `quoin-bench`: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use quoin_bench::{commands, flags::Flags, progress::note};

/// Less time per request than the system's allocator takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(Flags::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
