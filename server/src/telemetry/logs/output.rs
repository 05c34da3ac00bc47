//! Where finished lines go.
//!
//! One write per line and target, under a lock, so that lines never mix. A
//! failed write is dropped: there is nowhere to report it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

use parking_lot::Mutex;

use crate::config::LogOutput;

/// All targets of log lines.
#[derive(Debug)]
pub(super) struct Outputs {
    targets: Vec<Target>,
}

#[derive(Debug)]
enum Target {
    Stderr,
    Stdout,
    File(Mutex<File>),
    #[cfg(test)]
    Memory(std::sync::Arc<Mutex<Vec<u8>>>),
}

impl Outputs {
    /// Opens every target; files are appended to.
    pub(super) fn open(outputs: &[LogOutput]) -> io::Result<Self> {
        let open = |output: &LogOutput| match output {
            LogOutput::Stderr => Ok(Target::Stderr),
            LogOutput::Stdout => Ok(Target::Stdout),
            LogOutput::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                Ok(Target::File(Mutex::new(file)))
            }
        };
        Ok(Self {
            targets: outputs.iter().map(open).collect::<io::Result<_>>()?,
        })
    }

    #[cfg(test)]
    pub(super) fn memory() -> (Self, std::sync::Arc<Mutex<Vec<u8>>>) {
        let bytes = std::sync::Arc::default();
        (
            Self {
                targets: vec![Target::Memory(std::sync::Arc::clone(&bytes))],
            },
            bytes,
        )
    }

    /// Writes one line, newline included, to every target.
    pub(super) fn write(&self, line: &[u8]) {
        for target in &self.targets {
            let _ = match target {
                Target::Stderr => io::stderr().lock().write_all(line),
                Target::Stdout => {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(line).and_then(|()| stdout.flush())
                }
                Target::File(file) => file.lock().write_all(line),
                #[cfg(test)]
                Target::Memory(bytes) => bytes.lock().write_all(line),
            };
        }
    }
}
