//! The first lines of a boot: what was configured and what is on disk.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::{ServerConfig, Url, start_line};
use crate::telemetry::logs::json;

/// Writes the lines that come before anything is opened.
///
/// # Errors
/// The data directory exists and cannot be listed.
pub fn announce(config: &ServerConfig) -> io::Result<()> {
    let directory = &config.data_directory;
    let initialized = inspect(directory)?;
    let shown = directory.display().to_string();
    if initialized {
        tracing::info!(
            "data-dir" = shown,
            "dir-type" = "member",
            "server has already been initialized"
        );
    } else {
        tracing::info!(
            "data-dir" = shown,
            "dir-type" = "empty",
            "Initialize and start etcd server"
        );
    }
    tracing::info!(
        "listen-peer-urls" = ?json(&texts(&config.listen_peer_urls)),
        "configuring peer listeners"
    );
    tracing::info!(
        "listen-client-urls" = ?json(&texts(&config.listen_client_urls)),
        "configuring client listeners"
    );
    let has_log = has_entries(&config.wal_directory);
    let fields = start_line(config, has_log, config.rpc_threads_count.max(1));
    tracing::info!(fields = ?json(&fields), "starting an etcd server");
    if !config.fsync {
        tracing::warn!("--unsafe-no-fsync: acknowledged writes are lost in a crash");
    }
    Ok(())
}

/// Looks at the data directory; whether it holds a member.
fn inspect(directory: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mode = std::fs::metadata(directory)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let error = format!(
            "directory \"{}\" exist, but the permission is \"{}\". The recommended permission is \
             \"-rwx------\" to prevent possible unprivileged access to the data",
            directory.display(),
            mode_text(mode)
        );
        tracing::warn!(error, "check file permission");
    }
    let mut initialized = false;
    for entry in entries {
        let name = entry?.file_name();
        if name == "member" {
            initialized = true;
        } else {
            tracing::warn!(
                filename = %name.to_string_lossy(),
                "data-dir" = %directory.display(),
                "found invalid file under data directory"
            );
        }
    }
    Ok(initialized)
}

fn has_entries(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Permission bits as `ls` shows them.
fn mode_text(mode: u32) -> String {
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let shown = bits.map(|(bit, letter)| if mode >> bit & 1 == 1 { letter } else { '-' });
    std::iter::once('d').chain(shown).collect()
}

fn texts(urls: &[Url]) -> Vec<&str> {
    urls.iter().map(Url::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::{inspect, mode_text};

    #[test]
    fn a_directory_with_a_member_is_initialized() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!inspect(directory.path()).unwrap());
        std::fs::create_dir(directory.path().join("member")).unwrap();
        assert!(inspect(directory.path()).unwrap());
        assert!(!inspect(&directory.path().join("absent")).unwrap());
        std::fs::write(directory.path().join("file"), "").unwrap();
        assert!(inspect(&directory.path().join("file")).is_err());
    }

    #[test]
    fn permissions_are_shown_as_ls_shows_them() {
        assert_eq!(mode_text(0o755), "drwxr-xr-x");
    }
}
