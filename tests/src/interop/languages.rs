//! Setting up and running the check program of each language.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Error, Result, process::Process, wait};

/// How long a check program may run.
const CHECK_DEADLINE: Duration = Duration::from_secs(120);

/// A client library of another language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The package `etcd3` for Python.
    Python,
    /// The package `etcd3` for Node.
    Node,
    /// The crate `etcd-client`.
    Rust,
    /// The module `clientv3`.
    Go,
}

impl Language {
    /// All of them, in the order in which they run: the Rust client's build
    /// may use the `protoc` that the Python packages bring.
    pub const ALL: [Self; 4] = [Self::Python, Self::Node, Self::Rust, Self::Go];

    /// Its name on the command line and in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Rust => "rust",
            Self::Go => "go",
        }
    }

    /// Installs what the check program needs; quick when it is there.
    ///
    /// # Errors
    /// A tool is missing or fails.
    pub fn set_up(self) -> Result<()> {
        let (source, target) = (self.source(), self.target());
        fs::create_dir_all(&target).map_err(Error::io(target.display().to_string()))?;
        match self {
            Self::Python => {
                if !target.join("bin/pip").exists() {
                    run(Command::new("python3").args(["-m", "venv"]).arg(&target))?;
                }
                let mut pip = Command::new(target.join("bin/pip"));
                pip.args(["install", "--quiet", "--no-deps", "--requirement"]);
                run(pip.arg(source.join("requirements.txt")))
            }
            Self::Node => {
                for file in ["package.json", "check.js"] {
                    fs::copy(source.join(file), target.join(file))
                        .map_err(Error::io(format!("copy {file}")))?;
                }
                let mut npm = Command::new("npm");
                run(npm
                    .args(["install", "--no-audit", "--no-fund"])
                    .current_dir(&target))
            }
            Self::Rust => {
                let mut cargo = Command::new("cargo");
                cargo
                    .args(["build", "--quiet", "--manifest-path"])
                    .arg(source.join("Cargo.toml"));
                cargo.arg("--target-dir").arg(&target);
                if let Some(protoc) = bundled_protoc()? {
                    cargo.env("PROTOC", protoc);
                }
                run(&mut cargo)
            }
            Self::Go => {
                let mut go = Command::new("go");
                go.args(["build", "-o"]).arg(target.join("check")).arg(".");
                run(go.current_dir(&source))
            }
        }
    }

    /// Runs the check program; returns what it printed.
    ///
    /// # Errors
    /// A check fails or takes too long; the error holds the output.
    pub async fn check(self, endpoints: &[String]) -> Result<String> {
        let (source, target) = (self.source(), self.target());
        let (program, argument) = match self {
            Self::Python => (target.join("bin/python"), Some(source.join("check.py"))),
            Self::Node => (PathBuf::from("node"), Some(target.join("check.js"))),
            Self::Rust => (target.join("debug/quoin-interop"), None),
            Self::Go => (target.join("check"), None),
        };
        let environment = [
            ("ENDPOINTS".to_owned(), endpoints.join(",")),
            // The generated code of the Python package needs it.
            (
                "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION".to_owned(),
                "python".to_owned(),
            ),
        ];
        let log = target.join("check.log");
        let arguments: Vec<_> = argument.into_iter().map(PathBuf::into_os_string).collect();
        let mut process = Process::spawn(self.name(), &program, &arguments, &environment, &log)?;
        let status = wait::until(self.name(), CHECK_DEADLINE, async || {
            process.ended().ok_or_else(|| process.output_end(5))
        });
        if status.await?.success() {
            Ok(process.output())
        } else {
            Err(process.ended_error())
        }
    }

    fn source(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("interop")
            .join(self.name())
    }

    fn target(self) -> PathBuf {
        folder().join(self.name())
    }
}

/// Where clients are installed: below the target directory of the build.
#[must_use]
pub fn folder() -> PathBuf {
    let target = std::env::current_exe().ok();
    let target = target
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::parent);
    target.unwrap_or(Path::new("target")).join("interop")
}

/// A `protoc` where none is installed: the one of the Python packages.
fn bundled_protoc() -> Result<Option<PathBuf>> {
    let installed = Command::new("protoc")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let python = folder().join("python/bin/python");
    if installed.is_ok() || !python.exists() {
        return Ok(None);
    }
    let script = folder().join("protoc");
    let text = format!(
        "#!/bin/sh\nexec '{}' -m grpc_tools.protoc \"$@\"\n",
        python.display()
    );
    fs::write(&script, text).map_err(Error::io("protoc script"))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).map_err(Error::io("protoc script"))?;
    Ok(Some(script))
}

fn run(command: &mut Command) -> Result<()> {
    let what = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(&*what))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Error::malformed(
        what,
        String::from_utf8_lossy(&text).into_owned(),
    ))
}
