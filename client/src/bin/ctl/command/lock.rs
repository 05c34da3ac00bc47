//! lock

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use quoin_client::recipe::{Mutex, MutexGuard};
use quoin_client::{Client, Get, LeaseKeeper};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::Flags;
use crate::output::{Printer, Reply};

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let arguments = flags.arguments();
    let Some((name, command)) = arguments.split_first() else {
        let text = "lock takes one lock name argument and an optional command to execute";
        return Err(Failure::arguments(text));
    };
    let name = String::from_utf8_lossy(name);
    let ttl = u64::try_from(flags.integer("ttl")?).unwrap_or(0);
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let mut stop = Stop::new()?;
    let lease = client.grant(Duration::from_secs(ttl)).await?;
    let mut keeper = client.keep_alive(lease).await?;
    let mutex = Mutex::new(&client, &name, lease);
    let result = tokio::select! {
        guard = mutex.lock() => {
            hold(&client, printer, guard?, command, &mut keeper, &mut stop).await
        }
        () = stop.asked() => Err(Failure::new(STATUS_ERROR, "context canceled")),
    };
    // Takes the key of the lock with it, also of one still waited for.
    client.revoke(lease).await?;
    result
}

/// Prints the key and waits for a signal, or runs the command.
async fn hold(
    client: &Client,
    printer: Printer,
    guard: MutexGuard,
    command: &[Vec<u8>],
    keeper: &mut LeaseKeeper,
    stop: &mut Stop,
) -> Result<(), Failure> {
    if let Some((program, arguments)) = command.split_first() {
        return execute(&guard, program, arguments).await;
    }
    let reply = client.get(Get::key(guard.key().clone())).await?;
    if reply.kvs.is_empty() {
        return Err(Failure::new(STATUS_ERROR, "lock lost on init"));
    }
    printer.print(&Reply::Get(reply))?;
    tokio::select! {
        () = stop.asked() => Ok(guard.unlock().await?),
        _ = keeper.lost() => Err(Failure::new(STATUS_ERROR, "session expired")),
    }
}

/// Runs a command while the lock is held. The lease is kept meanwhile by the
/// keeper's own task.
async fn execute(guard: &MutexGuard, program: &[u8], arguments: &[Vec<u8>]) -> Result<(), Failure> {
    let mut command = std::process::Command::new(OsStr::from_bytes(program));
    command
        .args(arguments.iter().map(|argument| OsStr::from_bytes(argument)))
        .env("ETCD_LOCK_KEY", OsStr::from_bytes(guard.key()))
        .env("ETCD_LOCK_REV", guard.header().revision.to_string());
    let status = tokio::task::spawn_blocking(move || command.status()).await;
    let status = status.map_err(|error| Failure::new(STATUS_ERROR, error.to_string()))?;
    let status = status.map_err(|error| Failure::new(STATUS_ERROR, error.to_string()))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => {
            let status = u8::try_from(code).unwrap_or(STATUS_ERROR);
            Err(Failure::new(status, format!("exit status {code}")))
        }
        None => Err(Failure::new(STATUS_ERROR, status.to_string())),
    }
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(STATUS_ERROR, error.to_string()));
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self {
            interrupt,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
