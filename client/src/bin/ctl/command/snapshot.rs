//! snapshot save, and export from a running member
//!
//! The copy is written to a temporary name beside its own and renamed once it
//! is whole and on disk, so that a file with the right name is always usable.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quoin_client::{Client, Error};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::etcd_file;
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_INTERRUPTED, describe};
use crate::flags::Flags;
use crate::log;
use crate::output::{duration, size};

/// Length of the SHA-256 at the end of the file.
const HASH_BYTES: usize = 32;

/// `snapshot` with the verb below it.
pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    match verb {
        "status" => etcd_file::status(flags).await,
        "restore" => etcd_file::restore(flags).await,
        _ => run_save(flags).await,
    }
}

async fn run_save(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [path] = &texts[..] else {
        return Err(Failure::arguments(
            "snapshot save expects one argument <filename>",
        ));
    };
    let version = save(flags, path).await?;
    let mut text = format!("Snapshot saved at {path}\n");
    if !version.is_empty() {
        text.push_str(&format!("Server version {version}\n"));
    }
    crate::output::write(text.as_bytes())
}

/// `export`: from a running member, or from its directory.
pub(super) async fn export(flags: Flags<'_>) -> Result<(), Failure> {
    let path = flags.text("to-etcd");
    if path.is_empty() || !flags.texts().is_empty() {
        return Err(Failure::arguments(
            "export expects --to-etcd=<file>, and no other argument",
        ));
    }
    if !flags.text("data-dir").is_empty() {
        return etcd_file::export(flags).await;
    }
    save(flags, path).await?;
    let text = format!(
        "Exported to {path}. Make an etcd of it: etcdutl snapshot restore {path} --data-dir <new directory>\n"
    );
    crate::output::write(text.as_bytes())
}

/// Returns the version that the server names.
async fn save(flags: Flags<'_>, path: &str) -> Result<String, Failure> {
    connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let endpoints: Vec<&str> = client.endpoints().collect();
    let [endpoint] = &endpoints[..] else {
        let text = format!(
            "snapshot must be requested to one selected node, not multiple [{}]",
            endpoints.join(" ")
        );
        return Err(Failure::new(STATUS_INTERRUPTED, text));
    };
    let path = Path::new(path);
    let part = PathBuf::from(format!("{}.part", path.display()));
    let result = download(&client, endpoint, &part).await;
    let renamed = result.and_then(|version| {
        rename(&part, path).map_err(|error| file(path, &error))?;
        log::json("saved", &[("path", json!(path.display().to_string()))]);
        Ok(version)
    });
    if renamed.is_err() {
        // Best effort: the failure itself is what matters.
        let _ = std::fs::remove_file(&part);
    }
    renamed
}

async fn download(client: &Client, endpoint: &str, part: &Path) -> Result<String, Failure> {
    let started = Instant::now();
    let mut out = create(part).map_err(|error| file(part, &error))?;
    let name = json!(part.display().to_string());
    log::json("created temporary db file", &[("path", name)]);
    let mut snapshot = client.snapshot().await.map_err(stream)?;
    log::json("opened snapshot stream; downloading", &[]);
    log::json("fetching snapshot", &[("endpoint", json!(endpoint))]);
    let mut version = String::new();
    let mut written = Written::default();
    while let Some(piece) = snapshot.next().await.map_err(stream)? {
        out.write_all(&piece.blob)
            .map_err(|error| file(part, &error))?;
        written.note(&piece.blob);
        version = piece.version;
    }
    log::json("completed snapshot read; closing", &[]);
    written.verify()?;
    out.sync_all().map_err(|error| file(part, &error))?;
    log::json(
        "fetched snapshot",
        &[
            ("endpoint", json!(endpoint)),
            ("size", json!(size(written.bytes))),
            ("took", json!(duration(started.elapsed()))),
            ("etcd-version", json!(version)),
        ],
    );
    Ok(version)
}

/// What was written, and the last bytes of it, which may be the hash.
#[derive(Default)]
struct Written {
    bytes: u64,
    hasher: Sha256,
    tail: Vec<u8>,
}

impl Written {
    fn note(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        let settled = self.tail.len().saturating_sub(HASH_BYTES);
        self.hasher.update(&self.tail[..settled]);
        self.tail.drain(..settled);
    }

    /// Pages of 512 bytes and a SHA-256 of them.
    fn verify(&self) -> Result<(), Failure> {
        let text = if self.bytes % 512 != HASH_BYTES as u64 {
            format!("sha256 checksum not found [bytes: {}]", self.bytes)
        } else {
            let found = self.hasher.clone().finalize();
            if found[..] == self.tail[..] {
                return Ok(());
            }
            let (expected, found) = (&self.tail, &found[..]);
            format!("expected sha256 {expected:?}, got {found:?}: take the snapshot again")
        };
        Err(Failure::new(STATUS_INTERRUPTED, text))
    }
}

/// Gives the file its name, for good.
pub(super) fn rename(part: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(part, path)?;
    File::open(folder(path))?.sync_all()
}

/// The directory that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Readable by the owner only: it holds everything that the cluster holds.
pub(super) fn create(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn file(path: &Path, error: &std::io::Error) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_with_its_own_hash_is_whole() {
        let pages = vec![7; 1024];
        let hash = Sha256::digest(&pages);
        let whole = [&pages[..], &hash].concat();
        let written = |bytes: &[u8], piece| {
            let mut written = Written::default();
            bytes.chunks(piece).for_each(|piece| written.note(piece));
            written.verify().map_err(|failure| failure.text)
        };
        for piece in [1, 31, 33, 512, 4096] {
            assert_eq!(written(&whole, piece), Ok(()));
        }
        let mut changed = whole.clone();
        changed[5] ^= 1;
        assert!(written(&changed, 100).is_err_and(|text| text.starts_with("expected sha256")));
        let text = "sha256 checksum not found [bytes: 1024]";
        assert_eq!(written(&pages, 100), Err(text.to_owned()));
    }
}
