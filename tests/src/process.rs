//! One child process: started, watched, paused, killed, and never left behind.
//!
//! Output goes to a file, which a test reads for log lines and a failing test
//! prints the end of. A child dies with its `Process`; and because a test run
//! may itself be killed, a reaper (a shell that holds the other end of a pipe)
//! kills whatever is still registered when the run's end of the pipe closes.
//! `PR_SET_PDEATHSIG` would need unsafe code and fires when the starting
//! thread ends, not the process.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal};

use crate::{Error, Result, wait};

/// The reaper: `add <pid>` and `del <pid>` lines; at end of input, kill.
const REAPER: &str = r#"trap '' INT TERM HUP; live=
while read -r verb pid; do case $verb in
add) live="$live $pid";;
del) rest=; for one in $live; do [ "$one" = "$pid" ] || rest="$rest $one"; done; live=$rest;;
esac; done
[ -z "$live" ] || kill -9 $live 2>/dev/null"#;

/// A running or ended child.
#[derive(Debug)]
pub struct Process {
    /// Name in messages.
    name: String,
    /// The child; waited for on drop.
    child: Child,
    /// Where stdout and stderr go; appended to over restarts.
    log: PathBuf,
    /// Length of the log when this child started: older lines are not its own.
    log_start: u64,
}

impl Process {
    /// Starts `binary`, with output appended to `log`.
    ///
    /// # Errors
    /// The log cannot be opened or the binary cannot be run.
    pub fn spawn(
        name: &str,
        binary: &Path,
        arguments: &[OsString],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        let mut options = File::options();
        let out = options.create(true).append(true).open(log);
        let out = out.map_err(Error::io(log.display().to_string()))?;
        let log_start = out.metadata().map_or(0, |metadata| metadata.len());
        let also = out.try_clone().map_err(Error::io("log handle"))?;
        let child = Command::new(binary)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(also)
            .spawn()
            .map_err(Error::io(binary.display().to_string()))?;
        tell_reaper("add", child.id());
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            log_start,
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills with SIGKILL and waits until the kernel has taken it away.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        // Fails only if it ended before, which is what is wanted.
        let _ended = self.child.kill();
        self.child
            .wait()
            .map_err(Error::io(format!("wait for {}", self.name)))?;
        tell_reaper("del", self.child.id());
        Ok(())
    }

    /// Stops scheduling it (SIGSTOP).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process run again (SIGCONT).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// It still runs after the deadline.
    pub async fn wait_ended(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until(&what, deadline, async || self.ended().ok_or("running")).await
    }

    /// What this child has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start)
            .unwrap_or(usize::MAX)
            .min(text.len());
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
    }

    /// The last `lines` lines of its output.
    #[must_use]
    pub fn output_end(&self, lines: usize) -> String {
        let output = self.output();
        let skipped = output.lines().count().saturating_sub(lines);
        output.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Waits for a line that contains `text`.
    ///
    /// # Errors
    /// The deadline passes, or the process ends without writing it.
    pub async fn wait_output(&mut self, text: &str, deadline: Duration) -> Result<String> {
        let what = format!("{} to write {text:?}", self.name);
        let found = wait::until(&what, deadline, async || {
            let ended = self.ended();
            let output = self.output();
            match output.lines().find(|line| line.contains(text)) {
                Some(line) => Ok(Ok(line.to_owned())),
                None if ended.is_some() => Ok(Err(self.ended_error())),
                None => Err("no such line"),
            }
        });
        found.await?
    }

    /// The error for a process that ended although it was needed.
    pub fn ended_error(&mut self) -> Error {
        let status = self
            .ended()
            .map_or_else(|| "no status".to_owned(), |code| code.to_string());
        Error::Ended {
            name: self.name.clone(),
            status,
            log: self.output_end(30),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        rustix::process::kill_process(pid, signal)
            .map_err(|error| Error::io(format!("signal {}", self.name))(error.into()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.kill();
    }
}

fn tell_reaper(verb: &str, pid: u32) {
    static REAPER_INPUT: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    let input = REAPER_INPUT.get_or_init(|| {
        let mut command = Command::new("sh");
        command
            .args(["-c", REAPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().ok()?;
        child.stdin.map(Mutex::new)
    });
    if let Some(input) = input {
        let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a reaper the drop of `Process` still kills.
        let _told = writeln!(input, "{verb} {pid}");
    }
}
