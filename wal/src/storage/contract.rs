//! The suite every `Storage` passes: what the log relies on, once for all.

use std::io::ErrorKind;
use std::path::Path;

use super::{FaultyStorage, FileStorage, MemoryStorage, Storage};

fn check(storage: &dyn Storage, directory: &Path) {
    storage.create_directory(directory).unwrap();
    storage.create_directory(directory).unwrap();
    files_hold_what_is_written(storage, directory);
    names_follow_creation_rename_and_removal(storage, directory);
    a_lock_has_one_holder(storage, directory);
}

fn files_hold_what_is_written(storage: &dyn Storage, directory: &Path) {
    let path = directory.join("content");
    let file = storage.create(&path).unwrap();
    assert_eq!(
        storage.create(&path).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    file.write_at(3, b"abc").unwrap();
    file.write_at(4, b"B").unwrap();
    file.write_at(10, b"").unwrap();
    file.sync_data().unwrap();
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 6);
    assert_eq!(&buffer, b"\0\0\0aBc\x09\x09");
    assert_eq!(file.read_at(100, &mut buffer).unwrap(), 0);
    let again = storage.open(&path).unwrap();
    assert_eq!(again.length().unwrap(), 6);
    again.write_at(0, b"x").unwrap();
    assert_eq!(file.read_at(0, &mut buffer[..1]).unwrap(), 1);
    assert_eq!(buffer[0], b'x');
    storage.remove(&path).unwrap();
}

fn names_follow_creation_rename_and_removal(storage: &dyn Storage, directory: &Path) {
    let (a, b) = (directory.join("a"), directory.join("b"));
    let file = storage.create(&a).unwrap();
    storage.create(&b).unwrap();
    file.write_at(0, b"of a").unwrap();
    let mut names = storage.list(directory).unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    storage.rename(&a, &b).unwrap();
    storage.sync_directory(directory).unwrap();
    assert_eq!(storage.list(directory).unwrap(), ["b"]);
    assert_eq!(storage.open(&a).unwrap_err().kind(), ErrorKind::NotFound);
    let mut buffer = [0; 4];
    assert_eq!(
        storage.open(&b).unwrap().read_at(0, &mut buffer).unwrap(),
        4
    );
    assert_eq!(&buffer, b"of a");
    storage.remove(&b).unwrap();
    assert_eq!(storage.remove(&b).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        file.length().unwrap(),
        4,
        "an open handle outlives the name"
    );
}

fn a_lock_has_one_holder(storage: &dyn Storage, directory: &Path) {
    let path = directory.join("LOCK");
    let held = storage.lock(&path).unwrap();
    assert_eq!(
        storage.lock(&path).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(held);
    drop(storage.lock(&path).unwrap());
}

#[test]
fn files_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    check(&FileStorage, &directory.path().join("deep/log"));
}

#[test]
fn memory_keeps_the_contract() {
    check(&MemoryStorage::new(), Path::new("/log"));
}

#[test]
fn the_faulty_storage_keeps_the_contract() {
    check(&FaultyStorage::new(1), Path::new("/log"));
}
