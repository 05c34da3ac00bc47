//! etcdctl's commands that take care of a cluster, against two of three members.
//!
//! A session in order: each line starts from what the lines before have left. In a
//! line, `{leader}`, `{other}`, `{third}` and `{added}` stand for ids of members,
//! `{leader.peer}` and so on for their peer URLs, `{follower.url}` for the client
//! URL of one that does not lead.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use super::{
    ctl::{self, Line},
    normalise::Strictness,
};
use crate::{Error, Result, wait};

/// The space that both clusters have: little, to be used up below.
const QUOTA_BYTES: u64 = 24 * 1024 * 1024;

/// Bytes of each value that uses it up: as many as an argument may have.
const FILLING_BYTES: usize = 100_000;

/// Until every member counts as connected for long enough: etcd asks for 5 s.
const HEALTHY_WITHIN: Duration = Duration::from_secs(30);

/// What both clusters are started with.
#[must_use]
pub fn flags() -> Vec<String> {
    vec![format!("--quota-backend-bytes={QUOTA_BYTES}")]
}

/// Members: what is refused, then a learner that never starts, then one of three
/// goes for good.
const MEMBERS: [&str; 22] = [
    "member list",
    "member list --write-out=table",
    "member list --write-out=fields",
    "member add copy --peer-urls={leader.peer}",
    "member add copy --peer-urls=http://127.0.0.1",
    "member add",
    "member promote {other}",
    "member promote 12345",
    "member update {other} --peer-urls={leader.peer}",
    "member update 12345 --peer-urls=http://127.0.0.1:1",
    "member remove 12345",
    "member remove zz",
    "member add m2 --learner --peer-urls=http://127.0.0.1:7",
    "member list",
    "member add more --learner --peer-urls=http://127.0.0.1:9",
    "member promote {added}",
    "member update {added} --peer-urls=http://127.0.0.1:8",
    "member remove {added}",
    "member remove {added}",
    "member list --write-out=json",
    "endpoint health --cluster",
    "endpoint status --cluster",
];

/// Leadership: each line names who leads when it begins.
const LEADER: [&str; 5] = [
    "move-leader 12345",
    "move-leader {leader}",
    "move-leader {leader} --endpoints={follower.url}",
    "move-leader {other}",
    "move-leader {third} --write-out=json",
];

/// Hashes and space.
const SPACE: [&str; 8] = [
    "put kept before",
    "endpoint hashkv --cluster",
    "endpoint hashkv --rev=2",
    "endpoint hashkv --rev=99 --write-out=json",
    "defrag --cluster",
    "defrag --write-out=json",
    "alarm list",
    "alarm disarm",
];

/// With the quota used up.
const FULL: [&str; 11] = [
    "put more x",
    "alarm list",
    "endpoint health",
    "lease grant 100",
    "get kept",
    "del fill --prefix --write-out=fields",
    "get fill --prefix --count-only --write-out=fields",
    "put more x",
    "member list",
    "endpoint status --cluster --write-out=fields",
    "endpoint hashkv",
];

/// Once there is space again.
const DISARMED: [&str; 5] = [
    "alarm disarm",
    "alarm list",
    "endpoint health",
    "put more x",
    "get more",
];

/// Differences between what etcdctl prints against two clusters.
///
/// # Errors
/// etcdctl cannot be run, or a cluster does not come to the state that a part of
/// the session begins with.
pub async fn compare(etcdctl: &Path, expected: &[String], found: &[String]) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let clusters = [expected, found].map(|endpoints| Target { etcdctl, endpoints });
    for cluster in &clusters {
        cluster.wait_healthy().await?;
    }
    run_all(&mut differences, &clusters, &MEMBERS)?;
    run_all(&mut differences, &clusters, &LEADER)?;
    run_all(&mut differences, &clusters, &SPACE)?;
    for cluster in &clusters {
        cluster.fill()?;
    }
    run_all(&mut differences, &clusters, &FULL)?;
    for cluster in &clusters {
        cluster.make_space().await?;
    }
    run_all(&mut differences, &clusters, &DISARMED)?;
    Ok(differences)
}

/// Number of commands compared.
#[must_use]
pub fn commands_count() -> usize {
    MEMBERS.len() + LEADER.len() + SPACE.len() + FULL.len() + DISARMED.len()
}

fn run_all(
    differences: &mut Vec<String>,
    [expected, found]: &[Target<'_>; 2],
    lines: &[&str],
) -> Result<()> {
    for line in lines {
        let (one, other) = (expected.run(line)?, found.run(line)?);
        ctl::note(differences, line, &one, &other);
    }
    Ok(())
}

/// One of the two clusters.
struct Target<'a> {
    etcdctl: &'a Path,
    endpoints: &'a [String],
}

impl Target<'_> {
    fn run(&self, line: &str) -> Result<String> {
        let arguments = self.resolve(line)?;
        let line = Line {
            arguments: &arguments,
            input: "",
            strictness: Strictness::Shape,
        };
        ctl::run(self.etcdctl, self.endpoints, &line)
    }

    /// Puts ids and addresses in the place of their names.
    fn resolve(&self, line: &str) -> Result<String> {
        if !line.contains('{') {
            return Ok(line.to_owned());
        }
        let leader = self.leader()?;
        let members = self.json("member list --write-out=json")?;
        let members = members["members"].as_array().cloned().unwrap_or_default();
        let (mut line, mut followers) = (line.to_owned(), ["other", "third"].into_iter());
        for member in &members {
            let id = member["ID"].as_u64().unwrap_or_default();
            let name = if id == leader {
                "leader"
            } else if member["name"].is_null() {
                "added"
            } else {
                followers.next().unwrap_or("fourth")
            };
            let peer = member["peerURLs"][0].as_str().unwrap_or_default();
            line = line.replace(&format!("{{{name}}}"), &format!("{id:x}"));
            line = line.replace(&format!("{{{name}.peer}}"), peer);
            if name == "other" {
                let url = member["clientURLs"][0].as_str().unwrap_or_default();
                line = line.replace("{follower.url}", url);
            }
        }
        // Somebody who was there a moment ago.
        Ok(line.replace("{added}", "abcdef"))
    }

    fn leader(&self) -> Result<u64> {
        let status = self.json("endpoint status --write-out=json")?;
        Ok(status[0]["Status"]["leader"].as_u64().unwrap_or_default())
    }

    fn json(&self, line: &str) -> Result<Value> {
        let printed = self.printed(line)?;
        serde_json::from_str(&printed).map_err(|error| {
            Error::malformed(format!("etcdctl {line}"), format!("{error}: {printed}"))
        })
    }

    fn printed(&self, line: &str) -> Result<String> {
        let mut command = Command::new(self.etcdctl);
        command.args(ctl::arguments(line, self.endpoints));
        let output = command.output().map_err(Error::io("etcdctl"))?;
        let printed = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Waits until a change of the membership would be taken.
    async fn wait_healthy(&self) -> Result<()> {
        // Refused last of all checks, so that nothing is changed by asking.
        let ask = self.resolve("member add copy --peer-urls={leader.peer}")?;
        wait::until(
            "members to count as healthy",
            HEALTHY_WITHIN,
            async || match self.printed(&ask) {
                Ok(printed) if printed.contains("already exists") => Ok(()),
                Ok(printed) => Err(printed),
                Err(error) => Err(error.to_string()),
            },
        )
        .await
    }

    /// Puts until the quota is used up.
    fn fill(&self) -> Result<()> {
        let value = "x".repeat(FILLING_BYTES);
        // Three times what must be enough.
        for round in 0..3 * QUOTA_BYTES / FILLING_BYTES as u64 {
            let printed = self.printed(&format!("put fill{round} {value}"))?;
            if printed.contains("database space exceeded") {
                return Ok(());
            }
        }
        Err(Error::malformed("--quota-backend-bytes", "never used up"))
    }

    /// Compacts what was deleted and defragments, until a put would fit.
    async fn make_space(&self) -> Result<()> {
        let status = self.json("endpoint status --write-out=json")?;
        let revision = status[0]["Status"]["header"]["revision"].clone();
        self.printed(&format!("compaction {revision} --physical"))?;
        wait::until("space to come back", HEALTHY_WITHIN, async || {
            let printed = self
                .printed("defrag --cluster")
                .and_then(|_| self.json("endpoint status --cluster --write-out=json"));
            let status = printed.map_err(|error| error.to_string())?;
            let sizes = status.as_array().into_iter().flatten();
            let sizes: Vec<_> = sizes
                .filter_map(|one| one["Status"]["dbSize"].as_u64())
                .collect();
            let fits = sizes.iter().all(|size| *size < QUOTA_BYTES / 2);
            fits.then_some(()).ok_or_else(|| format!("{sizes:?}"))
        })
        .await
    }
}
