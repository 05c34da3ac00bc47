//! A store goes from etcd to Quoin and back, as a file, and stays what it is.
//!
//! A real etcd with a long history is saved, imported into a Quoin cluster, saved
//! from there, and restored both into another etcd and another Quoin. After each
//! step everything that a client can see is compared: every pair with its
//! revisions, version and lease at many revisions, HashKV, leases, and in the last
//! etcd, which enforces them, users, roles and permissions.

mod facts;
mod fill;
mod tools;

use std::path::Path;

use tempfile::TempDir;

use self::{
    facts::{Access, Facts},
    tools::Tools,
};
use crate::{
    Error, Result,
    cluster::{Cluster, Options},
};

/// Members of the Quoin that imports.
const MEMBERS: usize = 3;
/// Revisions at which everything is compared.
const REVISIONS_COMPARED: i64 = 12;

/// Runs all of it. Prints each step through `tell`.
///
/// # Errors
/// Something differs, or a tool failed.
pub async fn run(
    etcd: &Path,
    etcdctl: &Path,
    etcdutl: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let tools = Tools::new(etcdctl, etcdutl)?;
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let file = |name: &str| folder.path().join(name).display().to_string();

    let (first, expected) = original(etcd, &tools, tell).await?;
    let auth = tools.auth(&first.urls())?;
    tools.ctl(&first.urls(), &["snapshot", "save", &file("etcd.db")])?;
    drop(first);
    let status = tools.utl(&["snapshot", "status", &file("etcd.db")])?;
    let same = tools.quoinctl(&["snapshot", "status", &file("etcd.db")])?;
    tools::same("snapshot status of the file of etcd", &status, &same)?;
    tell(&format!("etcd: saved {}", status.trim()));

    let quoin = imported(&tools, &file("etcd.db"), expected.revision).await?;
    for member in 0..MEMBERS {
        let found = Facts::take(&Access::open(&quoin, member)?, &expected.revisions()).await?;
        expected.compare(&found, &format!("quoin member {member} after the import"))?;
    }
    tell(&format!(
        "quoin: {} agrees, on {MEMBERS} members",
        expected.summary()
    ));

    fill::more(&Access::open(&quoin, 1)?).await?;
    let access = Access::open(&quoin, 2)?;
    let revision = expected.revision + fill::MORE_REVISIONS;
    facts::wait_revision(&access, revision).await?;
    let expected = Facts::take(&access, &facts::spread(&access, REVISIONS_COMPARED).await?).await?;
    tools.ctl(&[quoin.url(2)], &["snapshot", "save", &file("quoin.db")])?;
    let status = tools.utl(&["snapshot", "status", &file("quoin.db")])?;
    let same = tools.quoinctl(&["snapshot", "status", &file("quoin.db")])?;
    tools::same("snapshot status of the file of quoin", &status, &same)?;
    tell(&format!("quoin: etcdctl saved {}", status.trim()));
    drop(quoin);

    let again = restored(&tools, &folder, expected.revision).await?;
    let found = Facts::take(&Access::open(&again, 0)?, &expected.revisions()).await?;
    expected.compare(&found, "quoin after quoinctl snapshot restore")?;
    drop(again);
    tell("quoin: restored from its own file, all the same");

    let last = returned(etcd, &tools, &folder).await?;
    let access = Access::open(&last, 0)?
        .sign_in("root", fill::ROOT_PASSWORD)
        .await?;
    let found = Facts::take(&access, &expected.revisions()).await?;
    expected.compare(&found, "etcd after etcdutl snapshot restore")?;
    tools::same("users and roles", &auth, &tools.auth(&last.urls())?)?;
    fill::check_auth(&last).await?;
    tell(&format!(
        "etcd: {} agrees; users, roles and permissions too",
        expected.summary()
    ));
    Ok(())
}

/// An etcd with a history, and what is in it. Authentication is on afterwards.
async fn original(
    etcd: &Path,
    tools: &Tools,
    tell: &mut dyn FnMut(&str),
) -> Result<(Cluster, Facts)> {
    // The default limit of operations is for clients that do not fill databases.
    let options = Options::new(1).flags(["--max-txn-ops=1000"]);
    let cluster = Cluster::start(options.binary(Some(etcd.to_owned()))).await?;
    let access = Access::open(&cluster, 0)?;
    fill::history(&access).await?;
    let facts = Facts::take(&access, &facts::spread(&access, REVISIONS_COMPARED).await?).await?;
    tell(&format!("etcd: {}", facts.summary()));
    fill::users(tools, &cluster.urls())?;
    Ok((cluster, facts))
}

/// A cluster of Quoin whose members are all made from `file`.
async fn imported(tools: &Tools, file: &str, revision: i64) -> Result<Cluster> {
    let mut cluster = Cluster::prepare(Options::new(MEMBERS))?;
    let from = format!("--from-etcd={file}");
    for member in 0..MEMBERS {
        let flags = cluster.founding_flags(member)?;
        let mut line = vec!["import", &from];
        line.extend(flags.iter().map(String::as_str));
        // What etcd enforced must not be open by accident.
        if let Ok(text) = tools.quoinctl(&line) {
            return Err(Error::malformed(
                file,
                format!("imported without consent: {text}"),
            ));
        }
        line.push("--accept-no-auth");
        tools.quoinctl(&line)?;
    }
    cluster.start_all()?;
    cluster.wait_ready().await?;
    for member in 0..MEMBERS {
        facts::wait_revision(&Access::open(&cluster, member)?, revision).await?;
    }
    Ok(cluster)
}

/// A member of Quoin made from the file of Quoin.
async fn restored(tools: &Tools, folder: &TempDir, revision: i64) -> Result<Cluster> {
    let mut cluster = Cluster::prepare(Options::new(1))?;
    let file = folder.path().join("quoin.db").display().to_string();
    let flags = cluster.founding_flags(0)?;
    let mut line = vec!["snapshot", "restore", &file, "--accept-no-auth"];
    line.extend(flags.iter().map(String::as_str));
    tools.quoinctl(&line)?;
    cluster.start_all()?;
    cluster.wait_ready().await?;
    facts::wait_revision(&Access::open(&cluster, 0)?, revision).await?;
    Ok(cluster)
}

/// An etcd made from the file of Quoin.
async fn returned(etcd: &Path, tools: &Tools, folder: &TempDir) -> Result<Cluster> {
    let options = Options::new(1).binary(Some(etcd.to_owned()));
    let mut cluster = Cluster::prepare(options)?;
    let file = folder.path().join("quoin.db").display().to_string();
    let flags = cluster.founding_flags(0)?;
    let mut line = vec!["snapshot", "restore", &file];
    line.extend(flags.iter().map(String::as_str));
    tools.utl(&line)?;
    cluster.start_all()?;
    Ok(cluster)
}
