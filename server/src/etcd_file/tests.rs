//! Files of a real etcd come in, ours go out and come in again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use quoin_proto::etcdserverpb::Member;
use tempfile::TempDir;

use super::file::Walk;
use super::*;
use crate::backend::{Applied, Backend, Config, Durability, EngineKind, Identity, Table};
use crate::base::key_range::KeyRange;
use crate::mvcc::{Previous, Store};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A backend and a store over it.
struct Bed {
    store: Store,
    backend: Backend,
    folder: TempDir,
}

impl Bed {
    fn open(fill: impl FnOnce(&Backend)) -> Self {
        let folder = TempDir::new().unwrap();
        let identity = Identity {
            cluster_id: 1,
            member_id: 2,
        };
        let config = Config::new(folder.path().join("state"), EngineKind::Redb, identity);
        let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
        fill(&backend);
        let store = Store::open(backend.clone()).unwrap();
        Self {
            store,
            backend,
            folder,
        }
    }

    fn empty() -> Self {
        Self::open(|_| {})
    }

    fn imported(path: &Path, changes: Changes) -> Self {
        let file = EtcdFile::open(path).unwrap();
        file.verify_hash().unwrap();
        let import = Import::read(&file).unwrap();
        Self::open(|backend| {
            let mut stage = backend.stage().unwrap();
            import
                .stream(&file, changes, &mut |chunk| {
                    stage.write(&chunk).map_err(|_| ImportError::Receiver)
                })
                .unwrap();
            stage.found(PLACE, Bytes::from_static(b"members"));
            backend.install(stage).unwrap();
        })
    }

    fn export(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, exported(&Export::new(self.store.read(), members()))).unwrap();
        path
    }

    fn hashes(&self) -> Vec<(u32, i64)> {
        let first = self.store.compact_revision().max(1);
        let revisions = first..=self.store.revision();
        let hash = |revision| self.store.hash_kv(revision).unwrap();
        revisions
            .map(hash)
            .map(|found| (found.hash, found.compact_revision))
            .collect()
    }
}

const PLACE: Applied = Applied { index: 7, term: 3 };

fn members() -> Vec<Member> {
    vec![
        Member {
            id: 0x2b,
            name: "two".to_owned(),
            peer_urls: vec!["http://two:2380".to_owned()],
            is_learner: true,
            ..Member::default()
        },
        Member {
            id: 0xa1,
            name: "one".to_owned(),
            peer_urls: vec!["http://one:2380".to_owned()],
            client_urls: vec!["http://one:2379".to_owned()],
            is_learner: false,
        },
    ]
}

/// The image with its SHA-256.
fn exported(export: &Export) -> Vec<u8> {
    let mut file = Vec::new();
    let length = export.save(&mut file).unwrap();
    assert_eq!(file.len() as u64, length);
    file
}

fn rows(path: &Path, bucket: &str) -> Rows {
    let file = EtcdFile::open(path).unwrap();
    let mut rows = Rows::new();
    let Some(bucket) = file.bucket(bucket.as_bytes()) else {
        return rows;
    };
    file.for_each(bucket, &mut |key, value| {
        rows.insert(key.to_vec(), value.to_vec());
        Ok::<_, Walk>(())
    })
    .unwrap();
    rows
}

fn real() -> PathBuf {
    testdata("small.db")
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/testdata/etcd_file")
        .join(name)
}

/// Lines of small.txt that begin with `word`, without it, split at commas.
fn facts(word: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(testdata("small.txt")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(word));
    let facts = lines.map(|line| line.split(',').map(|part| part.trim().to_owned()).collect());
    let facts: Vec<_> = facts.collect();
    assert!(!facts.is_empty(), "no {word} in small.txt");
    facts
}

#[test]
fn a_real_file_is_read_as_etcdutl_reads_it() {
    let file = EtcdFile::open(&real()).unwrap();
    file.verify_hash().unwrap();
    let status = FileStatus::of(&file).unwrap();
    let found = [
        format!("{:x}", status.hash),
        status.revision.to_string(),
        status.keys_count.to_string(),
        format!("{} kB", status.image_bytes / 1000),
        status.version,
    ];
    assert_eq!(facts("status"), [found]);
    let import = Import::read(&file).unwrap();
    assert_eq!((import.revision, import.compact_revision), (19, Some(12)));
    assert_eq!(
        (import.has_auth, import.users_count, import.alarms_count),
        (true, 2, 0)
    );
    assert_eq!(import.leases_count, facts("lease").len());
}

#[test]
fn a_store_made_of_a_real_file_hashes_as_etcd_does() {
    let bed = Bed::imported(&real(), Changes::default());
    for fact in facts("hashkv") {
        let number = |at: usize| fact[at].parse::<i64>().unwrap();
        let found = bed.store.hash_kv(number(1)).unwrap();
        let found = [
            i64::from(found.hash),
            found.hash_revision,
            found.compact_revision,
        ];
        assert_eq!(found, [number(0), number(1), number(2)]);
    }
    assert_eq!(bed.store.revision(), 19);
    assert_eq!(bed.store.applied(), Some(PLACE));
    let read = bed.backend.read();
    let leases = read.rows(Table::Lease).into_iter();
    let leases: Vec<_> = leases
        .map(|(key, _)| format!("{:016x}", u64_of(&key)))
        .collect();
    assert_eq!(leases, facts("lease").concat());
    let mut leased = Vec::new();
    let mut note = |key: &[u8], lease| leased.push((key.to_vec(), lease));
    bed.store.read().for_each_leased_key(&mut note).unwrap();
    assert_eq!(leased, [(b"leased".to_vec(), 10)]);
}

fn u64_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().unwrap())
}

#[test]
fn what_came_from_etcd_goes_back_unchanged() {
    let bed = Bed::imported(&real(), Changes::default());
    let path = bed.export("out.db");
    for bucket in ["key", "lease", "alarm", "auth", "authUsers", "authRoles"] {
        assert_eq!(
            rows(&path, bucket),
            rows(&real(), bucket),
            "bucket {bucket}"
        );
    }
    assert_eq!(rows(&path, "authUsers").len(), 2);
    let (mut ours, mut theirs) = (rows(&path, "meta"), rows(&real(), "meta"));
    assert_eq!(
        ours.remove(&b"consistent_index"[..]),
        Some(7_u64.to_be_bytes().to_vec())
    );
    assert_eq!(
        ours.remove(&b"term"[..]),
        Some(3_u64.to_be_bytes().to_vec())
    );
    let voters = r#"{"voters":[161],"learners":[43],"auto_leave":false}"#;
    assert_eq!(
        ours.remove(&b"confState"[..]),
        Some(voters.as_bytes().to_vec())
    );
    for key in ["consistent_index", "term", "confState"] {
        assert!(theirs.remove(key.as_bytes()).is_some());
    }
    assert_eq!(ours, theirs);
    let two = r#"{"id":43,"peerURLs":["http://two:2380"],"isLearner":true,"name":"two"}"#;
    assert_eq!(rows(&path, "members")[&b"2b"[..]], two.as_bytes());
    let again = Bed::imported(&path, Changes::default());
    let again = std::fs::read(again.export("again.db")).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), again);
}

#[test]
fn skipped_revisions_are_gone_and_stay_gone() {
    let skip = Changes {
        skipped_revisions: 1000,
        is_compacted: true,
    };
    let bed = Bed::imported(&real(), skip);
    assert_eq!(
        (bed.store.revision(), bed.store.compact_revision()),
        (1019, 1019)
    );
    assert_eq!(bed.store.keys_count(), 10);
    let again = Bed::imported(&bed.export("out.db"), Changes::default());
    assert_eq!(
        (again.store.revision(), again.store.compact_revision()),
        (1019, 1019)
    );
    // Without a compaction, only an empty row can say so.
    let skip = Changes {
        is_compacted: false,
        ..skip
    };
    let bed = Bed::imported(&real(), skip);
    assert_eq!(
        (bed.store.revision(), bed.store.compact_revision()),
        (1019, 12)
    );
    let again = Bed::imported(&bed.export("out.db"), Changes::default());
    assert_eq!(
        (again.store.revision(), again.store.compact_revision()),
        (1019, 12)
    );
    assert_eq!(again.hashes().first(), bed.hashes().first());
}

#[test]
fn members_made_from_different_files_have_different_digests() {
    let digest = |changes| Bed::imported(&real(), changes).backend.read().digest();
    let same = digest(Changes::default());
    assert_eq!(digest(Changes::default()), same);
    let skip = Changes {
        skipped_revisions: 1,
        is_compacted: true,
    };
    assert_ne!(digest(skip), same);
    assert_eq!(digest(skip).base, same.base);
}

#[test]
fn an_empty_store_makes_a_file() {
    let bed = Bed::empty();
    let path = bed.export("out.db");
    let again = Bed::imported(&path, Changes::default());
    assert_eq!(again.store.revision(), 1);
    assert_eq!(again.store.compact_revision(), -1);
    let status = FileStatus::of(&EtcdFile::open(&path).unwrap()).unwrap();
    assert_eq!((status.revision, status.keys_count), (0, 0));
}

#[test]
fn a_cancelled_export_ends() {
    let bed = Bed::empty();
    let mut writer = bed.store.write();
    for _ in 0..3000 {
        writer.begin();
        writer
            .put(Bytes::from_static(b"k"), b"v", 0, Previous::Skip)
            .unwrap();
        writer.end();
    }
    writer.commit((1, 1));
    let export = Export::new(bed.store.read(), members()).cancelled_by(|| true);
    assert!(export.measure().is_err());
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Txn(Vec<(u8, Option<Vec<u8>>)>),
    /// How far back from now, and how many keys of it are looked at.
    Compact(i64, usize),
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![9 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 0..6000)];
    let write = (0..12_u8, prop::option::weighted(0.7, value));
    prop_oneof![
        8 => prop::collection::vec(write, 1..4).prop_map(Step::Txn),
        1 => (0..6_i64, 0..8_usize).prop_map(|(back, keys)| Step::Compact(back, keys)),
        1 => Just(Step::Checkpoint),
    ]
}

fn run(bed: &Bed, steps: Vec<Step>) {
    for (index, step) in steps.into_iter().enumerate() {
        let mut writer = bed.store.write();
        writer.begin();
        let mut keys_looked_at = 0;
        match step {
            Step::Txn(writes) => {
                let mut written = std::collections::BTreeSet::new();
                for (key, value) in writes {
                    if !written.insert(key) {
                        continue;
                    }
                    let key = Bytes::from(vec![b'k', key]);
                    match value {
                        Some(value) => {
                            writer.put(key, &value, 0, Previous::Skip).unwrap();
                        }
                        None => {
                            let range = KeyRange::new(key, Bytes::new());
                            writer.delete_range(&range, Previous::Skip).unwrap();
                        }
                    }
                }
            }
            Step::Compact(back, keys) => {
                let revision = writer.current() - back;
                if revision > writer.compact_revision() {
                    writer.compact(revision).unwrap();
                }
                keys_looked_at = keys;
            }
            Step::Checkpoint => {}
        }
        writer.end();
        writer.commit((index as u64 + 1, 1));
        if keys_looked_at > 0 {
            bed.store.compaction_step(keys_looked_at);
        }
        if index % 7 == 0 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(bed.backend.checkpoint()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_store_comes_back_as_it_went(steps in prop::collection::vec(step(), 1..60)) {
        let bed = Bed::empty();
        run(&bed, steps);
        let path = bed.export("out.db");
        let again = Bed::imported(&path, Changes::default());
        prop_assert_eq!(again.store.revision(), bed.store.revision());
        prop_assert_eq!(again.hashes(), bed.hashes());
        prop_assert_eq!(again.store.keys_count(), bed.store.keys_count());
        let status = FileStatus::of(&EtcdFile::open(&path).unwrap()).unwrap();
        prop_assert_eq!(status.keys_count, bed.store.keys_count() as u64);
        prop_assert_eq!(rows(&path, "key"), rows(&again.export("again.db"), "key"));
    }

    #[test]
    fn damaged_files_are_errors(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = std::fs::read(real()).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("bad.db");
        std::fs::write(&path, bytes).unwrap();
        let Ok(file) = EtcdFile::open(&path) else { return Ok(()) };
        let _ = file.verify_hash();
        let _ = FileStatus::of(&file);
        if let Ok(import) = Import::read(&file) {
            let _ = import.stream(&file, Changes::default(), &mut |_| Ok(()));
        }
    }
}

#[test]
fn a_changed_byte_does_not_pass_the_hash() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.db");
    let mut bytes = std::fs::read(real()).unwrap();
    bytes[9000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = EtcdFile::open(&path).and_then(|file| file.verify_hash());
    assert!(matches!(error, Err(ImportError::WrongHash { .. })));
    // As a member's own file has it.
    bytes.truncate(bytes.len() - TRAILER_BYTES);
    bytes[9000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let file = EtcdFile::open(&path).unwrap();
    let error = file.verify_hash().unwrap_err();
    assert_eq!(
        error.to_string(),
        "snapshot missing hash but --skip-hash-check=false"
    );
    assert_eq!(Import::read(&file).unwrap().revision, 19);
}

/// A file of these buckets.
/// A bucket's name and its rows.
type Written<'a> = (&'a str, &'a [(&'a [u8], &'a [u8])]);

fn made(buckets: &[Written<'_>]) -> (TempDir, PathBuf) {
    let fill = |out: &mut crate::bbolt::Builder<'_>| {
        for (name, rows) in buckets {
            out.bucket(name.as_bytes())?;
            for (key, value) in *rows {
                out.row(key, value)?;
            }
        }
        Ok::<_, crate::bbolt::WriteError>(())
    };
    let layout = crate::bbolt::measure(fill).unwrap();
    let mut bytes = Vec::new();
    crate::bbolt::write(&layout, fill, &mut |piece| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    })
    .unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made.db");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn bad_rows_are_named() {
    let revision = |main: i64| crate::base::revision::Revision::new(main, 0).to_key();
    let (two, three) = (revision(2), revision(3));
    // {key "foo", create 33, mod 34, version 2, value "bar"}
    let pair = b"\x0a\x03foo\x10\x21\x18\x22\x20\x02\x2a\x03bar";
    let (enabled, user): (&[u8], &[u8]) = (b"authEnabled", b"\x0a\x05alice\x1a\x01b\x1a\x01a");
    let cases: [(&str, &[u8], &[u8], &str); 6] = [
        ("key", &two, pair, "mod revision of the pair"),
        ("key", &three, b"\xff", "not an encoded KeyValue"),
        ("key", b"short", pair, "not that of a revision"),
        ("lease", &[0; 8], b"\x08\x05", "another id"),
        ("auth", enabled, b"\x02", "neither on nor off"),
        ("authUsers", b"alice", user, "not in order"),
    ];
    for (bucket, key, value, reason) in cases {
        let row: &[(&[u8], &[u8])] = &[(key, value)];
        let mut buckets = vec![("meta", &[][..]), ("key", &[][..])];
        buckets.retain(|(name, _)| *name != bucket);
        buckets.push((bucket, row));
        buckets.sort();
        let (_folder, path) = made(&buckets);
        let file = EtcdFile::open(&path).unwrap();
        let read = Import::read(&file)
            .and_then(|import| import.stream(&file, Changes::default(), &mut |_| Ok(())));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(bucket), "{error}");
    }
    let (_folder, path) = made(&[("key", &[])]);
    let error = Import::read(&EtcdFile::open(&path).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no bucket meta"), "{error}");
}
