//! SIGTERM and SIGINT: caught once, and given back at the end.
//!
//! A process that was told to end by a signal ends by that signal, so that its
//! parent sees what happened; only pid 1, which cannot be killed so, exits with
//! status 0.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that mean "stop".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminationSignal {
    /// SIGINT, a person at a terminal.
    Interrupt,
    /// SIGTERM, a service manager.
    Terminate,
}

impl TerminationSignal {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
        }
    }

    /// Ends the process by this signal. Does not return.
    pub fn end_process(self) -> ! {
        if std::process::id() != 1 {
            let number = match self {
                Self::Interrupt => signal_hook::consts::SIGINT,
                Self::Terminate => signal_hook::consts::SIGTERM,
            };
            // On failure the exit below is as close as it gets.
            let _ = signal_hook::low_level::emulate_default_handler(number);
        }
        std::process::exit(0)
    }
}

/// The caught signals.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches both from now on. Needs a runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> TerminationSignal {
        tokio::select! {
            _ = self.interrupt.recv() => TerminationSignal::Interrupt,
            _ = self.terminate.recv() => TerminationSignal::Terminate,
        }
    }
}
