//! A directory is made whole or not at all, and a member can be opened on it.

use std::{fs, path::Path, sync::Arc};

use crate::{
    backend::{self, Applied, Backend, Durability, EngineKind, Table},
    mvcc::Store,
    offline::{Founder, NewDirectory},
};

struct NoLog;

impl Durability for NoLog {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A state in memory with two keys and rows of another cluster's members.
fn state() -> Backend {
    let config = backend::Config::new("unused", EngineKind::Memory, backend::Identity::default());
    let backend = Backend::open(config, Arc::new(NoLog)).unwrap();
    let store = Store::open(backend.clone()).unwrap();
    let mut tx = store.write();
    for key in ["a", "b"] {
        tx.put(key.into(), b"value", 0, crate::mvcc::Previous::Skip)
            .unwrap();
        tx.end();
    }
    tx.put_row(Table::Members, &8u64.to_be_bytes(), b"");
    tx.put_row(Table::Lease, b"lease", b"row");
    tx.commit((9, 4));
    backend
}

fn founder(directory: &Path, engine: &str, more: &[String]) -> Founder {
    let mut flags = vec![
        format!("--data-dir={}", directory.display()),
        "--name=m0".to_owned(),
        "--initial-cluster=m0=http://127.0.0.1:1,m1=http://127.0.0.1:2".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:1".to_owned(),
        format!("--backend-engine={engine}"),
    ];
    flags.extend(more.iter().cloned());
    Founder::from_flags(&flags).unwrap()
}

const POSITION: Applied = Applied { index: 3, term: 2 };

#[test]
fn a_directory_holds_the_state_at_its_new_place() {
    for engine in ["sled", "redb"] {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("deep/data");
        let wal = root.path().join("wal");
        let founder = founder(&data, engine, &[format!("--wal-dir={}", wal.display())]);
        let mut new = NewDirectory::create(founder.clone()).unwrap();
        assert!(!data.join("member").exists());
        new.write_all(state().snapshot(), &mut |_| {}).unwrap();
        let made = new.finish(POSITION).unwrap();
        assert_eq!((made.applied, made.revision), (Some(POSITION), 3));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
        assert!(!wal.join("PARTIAL").exists() && !data.join("member/wal").exists());

        let owner = backend::Identity {
            cluster_id: founder.cluster_id(),
            member_id: founder.member_id(),
        };
        let config = backend::Config::new(data.join("member/backend"), founder.engine, owner);
        let backend = Backend::open(config, Arc::new(NoLog)).unwrap();
        assert_eq!(backend.recovered(), made);
        let read = backend.read();
        assert!(read.rows(Table::Members).is_empty());
        assert_eq!(read.rows(Table::Lease).len(), 1);
        assert_eq!(Store::open(backend).unwrap().keys_count(), 2);
    }
}

#[test]
fn what_is_there_is_never_touched_and_half_a_directory_never_stays() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let wal = root.path().join("wal");
    let more = [format!("--wal-dir={}", wal.display())];
    let begin = || NewDirectory::create(founder(&data, "redb", &more));

    // Nothing but a piece of the stream, and a second one at the same time.
    let mut new = begin().unwrap();
    let chunk = state().snapshot().next_chunk().unwrap().unwrap();
    new.write(&chunk[..40]).unwrap();
    assert!(begin().unwrap_err().to_string().contains("another process"));
    assert!(new.finish(POSITION).is_err());
    assert!(!data.exists());
    assert_eq!(fs::read_dir(&wal).unwrap().count(), 0);

    // What a crash leaves is removed.
    fs::create_dir_all(data.join("member.partial/backend")).unwrap();
    fs::write(data.join("member.partial/identity.json"), "{").unwrap();
    fs::write(wal.join("PARTIAL"), "").unwrap();
    fs::write(wal.join("0000000000000001.wal"), "").unwrap();
    let mut new = begin().unwrap();
    new.write_all(state().snapshot(), &mut |_| {}).unwrap();
    new.finish(POSITION).unwrap();

    // What is complete is not.
    let text = begin().unwrap_err().to_string();
    assert!(
        text.contains("data-dir") && text.contains("not empty"),
        "{text}"
    );
    fs::remove_dir_all(&data).unwrap();
    let text = begin().unwrap_err().to_string();
    assert!(
        text.contains("wal-dir") && text.contains("not empty"),
        "{text}"
    );
}

#[test]
fn flags_that_do_not_fit_together_are_refused_with_the_servers_text() {
    let refused = |flags: &[&str]| {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        Founder::from_flags(&flags).unwrap_err().to_string()
    };
    let text = refused(&["--name=zz", "--initial-cluster=m0=http://127.0.0.1:1"]);
    assert!(text.contains("couldn't find local name \"zz\""), "{text}");
    let text = refused(&["--backend-engine=memory"]);
    assert!(text.contains("keeps nothing"), "{text}");
    let text = refused(&["--initial-cluster=m0=127.0.0.1"]);
    assert!(text.contains("scheme"), "{text}");
}
