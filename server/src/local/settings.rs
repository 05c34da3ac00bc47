//! Where each member lives, and that a directory keeps meaning one cluster.
//!
//! The first start leaves a small file with the shape of the cluster; a later
//! start with another shape is refused, because the data would not fit it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LocalError;
use super::arguments::Arguments;

/// One member of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberPlan {
    pub(crate) name: String,
    pub(crate) client_url: String,
    pub(crate) peer_url: String,
    pub(crate) data_directory: PathBuf,
    pub(crate) log_file: PathBuf,
}

/// The whole cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) members: Vec<MemberPlan>,
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    members: u16,
    base_port: u16,
}

/// Makes the directory, or checks that it holds this cluster.
pub(crate) fn claim(arguments: &Arguments) -> Result<Plan, LocalError> {
    let directory = &arguments.directory;
    let failed =
        |error: io::Error| LocalError(format!("cannot use {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(failed)?;
    let path = directory.join(SHAPE_FILE);
    let wanted = Shape {
        members: arguments.members,
        base_port: arguments.base_port,
    };
    match fs::read(&path) {
        Ok(bytes) => check_shape(&bytes, &wanted, directory)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = serde_json::to_vec(&wanted).unwrap_or_default();
            fs::write(&path, text).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(Plan::new(
        &fs::canonicalize(directory).map_err(failed)?,
        &wanted,
    ))
}

impl Plan {
    fn new(directory: &Path, shape: &Shape) -> Self {
        let member = |number: u16| {
            let name = format!("m{number}");
            let port = u32::from(shape.base_port) + u32::from(number - 1) * PORTS_PER_MEMBER;
            MemberPlan {
                client_url: format!("http://127.0.0.1:{port}"),
                peer_url: format!("http://127.0.0.1:{}", port + 1),
                data_directory: directory.join(&name),
                log_file: directory.join(format!("{name}.log")),
                name,
            }
        };
        Self {
            members: (1..=shape.members).map(member).collect(),
        }
    }

    /// `--initial-cluster` of all members.
    pub(crate) fn initial_cluster(&self) -> String {
        let pairs = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url));
        pairs.collect::<Vec<_>>().join(",")
    }

    /// Client endpoints, comma separated, as tools take them.
    pub(crate) fn endpoints(&self) -> String {
        self.members
            .iter()
            .map(|member| &*member.client_url)
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn check_shape(bytes: &[u8], wanted: &Shape, directory: &Path) -> Result<(), LocalError> {
    let shown = directory.display();
    let found: Shape = serde_json::from_slice(bytes)
        .map_err(|error| LocalError(format!("{shown}/{SHAPE_FILE} is damaged: {error}")))?;
    if found == *wanted {
        return Ok(());
    }
    Err(LocalError(format!(
        "{shown} holds a cluster of {} members at --base-port {}; start it with these, or choose \
         another --directory",
        found.members, found.base_port
    )))
}

const SHAPE_FILE: &str = "cluster.json";
/// Members stand ten ports apart, so that 2379 and 2380 keep their meaning.
const PORTS_PER_MEMBER: u32 = 10;

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::arguments::Arguments;
    use super::claim;

    #[test]
    fn a_directory_keeps_the_shape_it_was_made_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let arguments = |members: &str| {
            Arguments::parse_from(["local", "--members", members, "--directory", path])
        };
        let plan = claim(&arguments("3")).unwrap();
        assert_eq!(plan, claim(&arguments("3")).unwrap());
        assert_eq!(
            plan.initial_cluster(),
            "m1=http://127.0.0.1:2380,m2=http://127.0.0.1:2390,m3=http://127.0.0.1:2400"
        );
        let refusal = claim(&arguments("5")).unwrap_err().to_string();
        assert!(
            refusal.contains("3 members at --base-port 2379"),
            "{refusal}"
        );
    }
}
