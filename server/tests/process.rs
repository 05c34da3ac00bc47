//! The binary as an operator meets it: exit status, output, signals.
//!
//! Real processes on ports the system gives; every wait is for a condition
//! with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

fn quoin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quoin"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = quoin(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A free port, by asking for any.
fn free_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

struct Member {
    child: Child,
    lines: mpsc::Receiver<String>,
    peer_url: String,
}

impl Member {
    fn start(directory: &std::path::Path, environment: &[(&str, &str)]) -> Self {
        let (client, peer) = (free_url(), free_url());
        let mut child = quoin(&[])
            .arg("--name=m")
            .arg(format!("--data-dir={}", directory.display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            peer_url: peer,
        }
    }

    /// Lines up to and including the first that contains `text`.
    fn lines_until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self
                .lines
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("{seen:#?}"));
            seen.push(line.clone());
            if line.contains(text) {
                return seen;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_version_is_the_api_version_on_the_first_line() {
    let (status, stdout, _) = output(&["--version"]);
    assert_eq!(status, Some(0));
    assert!(stdout.starts_with("etcd Version: 3.7."), "{stdout}");
    assert_eq!(stdout.lines().count(), 4);
}

#[test]
fn syntax_exits_with_two_and_meaning_with_one() {
    let (status, _, stderr) = output(&["--foo"]);
    assert_eq!(status, Some(2));
    assert!(
        stderr.starts_with("flag provided but not defined: -foo\nUsage:\n"),
        "{stderr}"
    );
    let (status, _, stderr) = output(&["--cert-file=a.pem"]);
    assert_eq!(status, Some(1));
    assert!(
        stderr.contains("\"msg\":\"failed to verify flags\""),
        "{stderr}"
    );
    assert!(
        stderr.contains("--cert-file=a.pem is not supported by quoin yet"),
        "{stderr}"
    );
    let (status, stdout, stderr) = output(&["--help"]);
    assert_eq!(status, Some(0));
    assert!(stdout.contains("--initial-cluster-state") && stderr.starts_with("Usage:"));
}

#[test]
fn a_member_becomes_ready_and_dies_by_the_signal_it_got() {
    let directory = tempfile::tempdir().unwrap();
    for (name, number) in [("-TERM", 15), ("-INT", 2)] {
        let mut member = Member::start(
            &directory.path().join("d"),
            &[("ETCD_SNAPSHOT_COUNT", "0x100")],
        );
        let lines = member.lines_until("\"msg\":\"ready to serve client requests\"");
        for line in &lines {
            let fields: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                fields["ts"].is_string() && fields["caller"].is_string(),
                "{line}"
            );
            assert_ne!(fields["level"], "error", "{line}");
        }
        let all = lines.join("\n");
        assert!(
            all.contains("\"variable-name\":\"ETCD_SNAPSHOT_COUNT\""),
            "{all}"
        );
        assert!(all.contains("\"snapshot-count\":256,"), "{all}");
        assert!(all.contains("\"v2-deprecation\":\"write-only\""), "{all}");
        member.signal(name);
        member.lines_until("\"msg\":\"closed etcd server\"");
        assert_eq!(member.child.wait().unwrap().signal(), Some(number));
    }
}

#[test]
fn a_local_cluster_shows_itself_and_keeps_its_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c");
    // Two members need ports base, +1, +10, +11; taken ones are refused.
    let attempt = |base: u16| {
        quoin(&["local", "--members", "2", "--exit-after-demo"])
            .arg(format!("--base-port={base}"))
            .arg(format!("--directory={}", path.display()))
            .output()
            .unwrap()
    };
    let (base, first) = (0..10_u16)
        .map(|number| 20_011 + number * 100 + (std::process::id() % 83) as u16)
        .find_map(|base| {
            let run = attempt(base);
            if String::from_utf8_lossy(&run.stderr).contains("cannot be had") {
                fs::remove_dir_all(&path).unwrap();
                return None;
            }
            Some((base, run))
        })
        .unwrap();
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(
        first.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert!(text.contains("PUT quoin/hello = hello no. 1"), "{text}");
    let second = attempt(base);
    let text = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(
        text.contains("quoin/hello = hello no. 1") && text.contains("earlier run"),
        "{text}"
    );
    assert!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    let log = fs::read_to_string(path.join("m1.log")).unwrap();
    assert!(log.contains("server has already been initialized"));
}

/// What member `c`, which asks the others of `peers` to let it join, ends with.
fn refusal_to_join(directory: &std::path::Path, peers: &str) -> String {
    let (client, peer) = (free_url(), free_url());
    let (status, _, stderr) = output(&[
        "--name=c",
        &format!("--data-dir={}", directory.display()),
        &format!("--listen-client-urls={client}"),
        &format!("--advertise-client-urls={client}"),
        &format!("--listen-peer-urls={peer}"),
        &format!("--initial-advertise-peer-urls={peer}"),
        &format!("--initial-cluster={peers},c={peer}"),
        "--initial-cluster-state=existing",
    ]);
    assert_eq!(status, Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap();
    let fields: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(fields["level"], "fatal", "{last}");
    assert_eq!(fields["msg"], "discovery failed", "{last}");
    fields["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_member_that_cannot_join_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let silent = format!("a={}", free_url());
    let nobody = refusal_to_join(&path("c"), &silent);
    let text = "cannot fetch cluster info from peer urls: could not retrieve cluster information \
                from the given URLs";
    assert!(nobody.starts_with(text), "{nobody}");

    let ready = "\"msg\":\"ready to serve client requests\"";
    let (one, other) = (
        Member::start(&path("one"), &[]),
        Member::start(&path("other"), &[]),
    );
    one.lines_until(ready);
    other.lines_until(ready);
    // Nobody has added it.
    let uninvited = refusal_to_join(&path("c"), &format!("a={}", one.peer_url));
    assert!(
        uninvited.starts_with("error validating peerURLs {ClusterID:")
            && uninvited.contains("member count is unequal"),
        "{uninvited}"
    );
    let strangers = refusal_to_join(
        &path("c"),
        &format!("a={},b={}", one.peer_url, other.peer_url),
    );
    let text = "peers of --initial-cluster belong to different clusters: ";
    assert!(strangers.starts_with(text), "{strangers}");
}
