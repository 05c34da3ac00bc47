//! watch, also interactively and with a command run for each event.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use quoin_client::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use quoin_client::{Client, Error, Watch};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch as signal;

use super::{range, txn};
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR, STATUS_INPUT, STATUS_INTERRUPTED, describe};
use crate::flags::Flags;
use crate::output::{Printer, Reply, WatchReply, quote};
use crate::verbs;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let environment = Environment::read()?;
    let interactive = flags.switch("interactive")?;
    let request = if interactive {
        None
    } else {
        Some(request(flags, &environment)?)
    };
    let printer = connect::printer(flags)?;
    let mut config = connect::config(flags, Patience::Endless)?;
    config.require_leader = true;
    let client = Client::new(config)?;
    match request {
        None => follow_input(client, printer, &environment).await,
        Some(request) => {
            // Nobody asks for progress; the sender stays open all the same.
            let (_ask, asked) = signal::channel(());
            let follow = Follow {
                client,
                printer,
                exec: exec(flags)?,
                asked,
            };
            follow.run(request).await?;
            Err(Failure::new(
                STATUS_INTERRUPTED,
                "watch is canceled by the server",
            ))
        }
    }
}

/// `ETCDCTL_WATCH_KEY` and `ETCDCTL_WATCH_RANGE_END`, which stand for the
/// arguments.
struct Environment {
    key: Vec<u8>,
    end: Vec<u8>,
}

impl Environment {
    fn read() -> Result<Self, Failure> {
        let read = |name| std::env::var_os(name).unwrap_or_default().into_vec();
        let (key, end) = (read("ETCDCTL_WATCH_KEY"), read("ETCDCTL_WATCH_RANGE_END"));
        if key.is_empty() && !end.is_empty() {
            let end = quote(&end);
            let text = format!("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={end}");
            return Err(Failure::arguments(text));
        }
        Ok(Self { key, end })
    }
}

/// What follows `--`.
fn exec(flags: Flags<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    let exec = flags.list("exec");
    let separator_is_last = std::env::args_os()
        .next_back()
        .is_some_and(|last| last == "--");
    match exec.is_empty() && separator_is_last {
        true => {
            let text = "bad number of arguments (found separator --, but no commands)";
            Err(Failure::arguments(text))
        }
        false => Ok(exec),
    }
}

/// The watch that arguments, flags and environment describe.
fn request(flags: Flags<'_>, environment: &Environment) -> Result<WatchCreateRequest, Failure> {
    let mut arguments = flags.arguments();
    if !environment.key.is_empty() {
        if !arguments.is_empty() {
            let text = "bad number of arguments (found conflicting environment key)";
            return Err(Failure::arguments(text));
        }
        arguments.push(environment.key.clone());
        if !environment.end.is_empty() {
            arguments.push(environment.end.clone());
        }
    }
    let prefix = flags.switch("prefix")?;
    let (key, end) = match &arguments[..] {
        [] => return Err(Failure::arguments("bad number of arguments")),
        [_, _] if prefix => {
            let text = "`range_end` and `--prefix` are mutually exclusive";
            return Err(Failure::arguments(text));
        }
        [key, end] => (key.clone(), Some(end.clone())),
        [key, ..] => (key.clone(), None),
    };
    let (key, range_end) = range(key, end, prefix, false);
    Ok(WatchCreateRequest {
        key,
        range_end,
        start_revision: flags.integer("rev")?,
        prev_kv: flags.switch("prev-kv")?,
        progress_notify: flags.switch("progress-notify")?,
        ..WatchCreateRequest::default()
    })
}

/// Watches as the lines of standard input say, until its end.
async fn follow_input(
    client: Client,
    printer: Printer,
    environment: &Environment,
) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (ask, asked) = signal::channel(());
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            Some(Ok(Err(failure))) = tasks.join_next() => return Err(failure),
        };
        let Ok(Some(line)) = line else {
            return Err(Failure::new(
                STATUS_INPUT,
                "error reading watch request line: EOF",
            ));
        };
        let words = txn::split(&line)?;
        match words.first().map(Vec::as_slice) {
            None => crate::complain(&format!(
                "Invalid command: {line} (watch and progress supported)"
            )),
            Some(b"progress") => ask.send_modify(|()| {}),
            Some(b"watch") if words.len() < 2 && environment.key.is_empty() => crate::complain(
                &format!("Invalid command {line} (command type or key is not provided)"),
            ),
            Some(b"watch") => {
                let words = words.into_iter().map(OsString::from_vec);
                let matches = verbs::watch().try_get_matches_from(words);
                let matches =
                    matches.map_err(|error| Failure::arguments(verbs::explain(&error)))?;
                let flags = Flags(&matches);
                let exec = flags.list("exec");
                match request(flags, environment) {
                    Ok(request) => {
                        let (client, asked) = (client.clone(), asked.clone());
                        let follow = Follow {
                            client,
                            printer,
                            exec,
                            asked,
                        };
                        tasks.spawn(follow.run(request));
                    }
                    Err(failure) => {
                        crate::complain(&format!("Invalid command {line} ({})", failure.text))
                    }
                }
            }
            Some(_) => crate::complain(&format!("Invalid command {line} (only support watch)")),
        }
    }
}

/// One watch and what happens with its events.
struct Follow {
    client: Client,
    printer: Printer,
    /// Program and arguments to run for each event; may be empty.
    exec: Vec<Vec<u8>>,
    /// Changes when the user asks for progress.
    asked: signal::Receiver<()>,
}

impl Follow {
    /// Returns when the server ends the watch.
    async fn run(mut self, request: WatchCreateRequest) -> Result<(), Failure> {
        let mut watcher = match self.client.watch(Watch::from(request)).await {
            Ok(watcher) => watcher,
            Err(error) => return self.end(&error),
        };
        loop {
            tokio::select! {
                response = watcher.next() => match response {
                    Some(Ok(response)) => self.print(response).await?,
                    Some(Err(error)) => return self.end(&error),
                    None => return Ok(()),
                },
                Ok(()) = self.asked.changed() => watcher.request_progress()?,
            }
        }
    }

    async fn print(&self, response: WatchResponse) -> Result<(), Failure> {
        let revision = response.header.map_or(0, |header| header.revision);
        if response.events.is_empty() {
            crate::output::write(format!("progress notify: {revision}\n").as_bytes())?;
        }
        let reply = WatchReply {
            header: response.header,
            events: response.events,
            ..WatchReply::default()
        };
        self.printer.print(&Reply::Watch(reply.clone()))?;
        if !self.exec.is_empty() {
            for event in &reply.events {
                let pair = event.kv.clone().unwrap_or_default();
                let kind = event.r#type().as_str_name();
                self.execute(revision, kind, &pair.key, &pair.value).await?;
            }
        }
        Ok(())
    }

    async fn execute(
        &self,
        revision: i64,
        kind: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Failure> {
        let mut command = std::process::Command::new(OsStr::from_bytes(&self.exec[0]));
        command
            .args(
                self.exec[1..]
                    .iter()
                    .map(|argument| OsStr::from_bytes(argument)),
            )
            .env("ETCD_WATCH_REVISION", revision.to_string())
            .env("ETCD_WATCH_EVENT_TYPE", quote(kind.as_bytes()))
            .env("ETCD_WATCH_KEY", quote(key))
            .env("ETCD_WATCH_VALUE", quote(value));
        let words = match tokio::task::spawn_blocking(move || command.status()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let command: Vec<String> = self.exec.iter().map(|word| quote(word)).collect();
        crate::complain(&format!("command [{}] error ({words})", command.join(" ")));
        Err(Failure::new(STATUS_ERROR, ""))
    }

    /// Says that the server ended the watch, where that is what happened.
    fn end(&self, error: &Error) -> Result<(), Failure> {
        let mut reply = WatchReply {
            canceled: true,
            ..WatchReply::default()
        };
        match error {
            Error::Compacted {
                compact_revision,
                header,
            } => {
                reply.compact_revision = *compact_revision;
                reply.header = Some(*header);
            }
            Error::WatchCanceled { reason, header } => {
                reply.cancel_reason.clone_from(reason);
                reply.header = Some(*header);
            }
            Error::Server(_) => {}
            other => return Err(other.clone().into()),
        }
        crate::complain(&format!("watch was canceled ({})", describe(error)));
        self.printer.print(&Reply::Watch(reply))
    }
}
