//! snapshot save
//!
//! The copy is written to a temporary name beside its own and renamed once it
//! is whole and on disk, so that a file with the right name is always usable.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use quoin_client::{Client, Error};

use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_INTERRUPTED, describe};
use crate::flags::Flags;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [path] = &texts[..] else {
        return Err(Failure::arguments(
            "snapshot save expects one argument <filename>",
        ));
    };
    connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let endpoints: Vec<&str> = client.endpoints().collect();
    if endpoints.len() != 1 {
        let text = format!(
            "snapshot must be requested to one selected node, not multiple [{}]",
            endpoints.join(" ")
        );
        return Err(Failure::new(STATUS_INTERRUPTED, text));
    }
    let version = save(&client, Path::new(path)).await?;
    let mut text = format!("Snapshot saved at {path}\n");
    if !version.is_empty() {
        text.push_str(&format!("Server version {version}\n"));
    }
    crate::output::write(text.as_bytes())
}

/// Returns the version that the server names.
async fn save(client: &Client, path: &Path) -> Result<String, Failure> {
    let part = PathBuf::from(format!("{}.part", path.display()));
    let result = download(client, &part).await;
    let renamed = result.and_then(|version| {
        std::fs::rename(&part, path).map_err(|error| file(path, &error))?;
        Ok(version)
    });
    if renamed.is_err() {
        // Best effort: the failure itself is what matters.
        let _ = std::fs::remove_file(&part);
    }
    renamed
}

async fn download(client: &Client, part: &Path) -> Result<String, Failure> {
    let mut out = create(part).map_err(|error| file(part, &error))?;
    let mut snapshot = client.snapshot().await.map_err(stream)?;
    let mut version = String::new();
    let mut size_bytes = 0_u64;
    while let Some(piece) = snapshot.next().await.map_err(stream)? {
        out.write_all(&piece.blob)
            .map_err(|error| file(part, &error))?;
        size_bytes += piece.blob.len() as u64;
        version = piece.version;
    }
    // Pages of 512 bytes and a SHA-256 of them.
    if size_bytes % 512 != 32 {
        let text = format!("sha256 checksum not found [bytes: {size_bytes}]");
        return Err(Failure::new(STATUS_INTERRUPTED, text));
    }
    out.sync_all().map_err(|error| file(part, &error))?;
    Ok(version)
}

/// Readable by the owner only: it holds everything that the cluster holds.
fn create(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn file(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        STATUS_INTERRUPTED,
        format!("could not write {} ({error})", path.display()),
    )
}

fn stream(error: Error) -> Failure {
    let text = match &error {
        Error::Server(server) => crate::failure::status_text(server.code, &server.message),
        other => describe(other),
    };
    Failure::new(STATUS_INTERRUPTED, text)
}
