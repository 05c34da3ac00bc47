//! One member process: started, watched, stopped.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

use super::settings::MemberPlan;
use super::{LocalError, MEMBER_COMMAND};

/// A running member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) plan: MemberPlan,
    child: Child,
}

/// In the member process: binds its life to its parent's, and returns the
/// server's flags. `arguments` are those after the command word: the parent's
/// process id, then the flags.
///
/// # Errors
/// The text for the log when the parent is gone already.
pub fn prepare_member(arguments: &[String]) -> Result<Vec<String>, String> {
    let (parent, flags) = arguments
        .split_first()
        .ok_or("the parent's process id is missing\n")?;
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| format!("{error}\n"))?;
    // It may have gone before the request was made.
    let alive = getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == *parent);
    if alive {
        Ok(flags.to_vec())
    } else {
        Err("the parent process is gone\n".to_owned())
    }
}

impl Member {
    /// Starts the process.
    pub(crate) fn start(plan: &MemberPlan, initial_cluster: &str) -> Result<Self, LocalError> {
        let name = &plan.name;
        let failed = |error: io::Error| LocalError(format!("cannot start {name}: {error}"));
        check_port(&plan.client_url)?;
        check_port(&plan.peer_url)?;
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&plan.log_file)
            .map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        for (variable, _) in std::env::vars_os() {
            // A variable and its flag exclude each other.
            if variable.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(&variable);
            }
        }
        command
            .env_remove("NOTIFY_SOCKET")
            .arg(MEMBER_COMMAND)
            .arg(std::process::id().to_string())
            .arg(format!("--name={name}"))
            .arg(format!("--data-dir={}", plan.data_directory.display()))
            .arg(format!("--listen-client-urls={}", plan.client_url))
            .arg(format!("--advertise-client-urls={}", plan.client_url))
            .arg(format!("--listen-peer-urls={}", plan.peer_url))
            .arg(format!("--initial-advertise-peer-urls={}", plan.peer_url))
            .arg(format!("--initial-cluster={initial_cluster}"))
            .arg("--initial-cluster-token=quoin-local")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            // Ctrl-C reaches this command, which then stops members in order.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        Ok(Self {
            plan: plan.clone(),
            child,
        })
    }

    /// Resolves when the process has ended. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> LocalError {
        let status = self.child.wait().await;
        let how = match status {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        LocalError(format!(
            "{} ended by itself ({how}); the end of {}:\n{}",
            self.plan.name,
            self.plan.log_file.display(),
            last_lines(&self.plan)
        ))
    }

    /// Asks the process to end.
    pub(crate) fn ask_to_stop(&self) {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended meanwhile.
            let _ = kill_process(id, Signal::TERM);
        }
    }

    /// Waits for the end, then forces it.
    pub(crate) async fn stop(mut self) {
        let orderly = tokio::time::timeout(ORDERLY_PATIENCE, self.child.wait()).await;
        if orderly.is_ok() {
            return;
        }
        // The last leader waits for a successor that is going too; asked again,
        // a member stops at once.
        self.ask_to_stop();
        if tokio::time::timeout(STOP_PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

fn check_port(url: &str) -> Result<(), LocalError> {
    let address = url.trim_start_matches("http://");
    TcpListener::bind(address).map(drop).map_err(|error| {
        LocalError(format!(
            "port of {address} cannot be had ({error}); choose another --base-port"
        ))
    })
}

fn last_lines(plan: &MemberPlan) -> String {
    let bytes = std::fs::read(&plan.log_file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(SHOWN_LINES_COUNT);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// Time for a member to hand over and close its stores.
const ORDERLY_PATIENCE: Duration = Duration::from_secs(1);
/// A member asked twice is gone within this time, or is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const SHOWN_LINES_COUNT: usize = 5;
