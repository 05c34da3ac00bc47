//! A change of the state directory that fails half way loses neither state.

use std::fs;

use super::model::State;
use super::transfer::{filled, receive, stream};
use super::{Place, wait};
use crate::backend::state_directory::{Current, StateDirectory};
use crate::backend::{Backend, EngineKind, Error};

/// Lets the rename of `CURRENT` fail under `switch`. Then the file is, if
/// `is_renamed`, as when only the sync after the rename had failed; else as it was.
fn fail_switch(
    place: &Place,
    backend: Backend,
    switch: &dyn Fn(&Backend) -> Result<(), Error>,
    is_renamed: bool,
) {
    let path = place.directory.path().join("CURRENT");
    let before = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    switch(&backend).unwrap_err();
    wait(backend.failed());
    drop(backend);
    fs::remove_dir(&path).unwrap();
    if is_renamed {
        fs::rename(place.directory.path().join("CURRENT.new"), path).unwrap();
    } else {
        fs::write(path, before).unwrap();
    }
}

fn check(place: &Place, state: &State) {
    for _ in 0..2 {
        state.check(&place.open().read());
    }
    let entries = fs::read_dir(place.directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("state-")).count(), 1);
}

#[test]
fn a_switch_that_fails_leaves_what_current_names() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        for is_renamed in [false, true] {
            let place = Place::new(kind);
            let (backend, old) = filled(&place, 500);
            wait(backend.checkpoint()).unwrap();
            let defragment = |backend: &Backend| wait(backend.defragment());
            fail_switch(&place, backend, &defragment, is_renamed);
            check(&place, &old);
            let sender_place = Place::new(kind);
            let (sender, new) = filled(&sender_place, 0);
            let stream = stream(&sender);
            let install = |backend: &Backend| receive(backend, &stream);
            fail_switch(&place, place.open(), &install, is_renamed);
            check(&place, if is_renamed { &new } else { &old });
        }
    }
}

#[test]
fn a_state_that_does_not_open_does_not_cost_the_other_one() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let place = Place::new(kind);
        let (backend, state) = filled(&place, 0);
        backend.close().unwrap();
        drop(backend);
        let directory = StateDirectory::new(place.directory.path());
        let whole = directory.read_current().unwrap().unwrap();
        let broken = Current {
            generation: whole.generation + 1,
            ..whole.clone()
        };
        fs::create_dir(directory.path(broken.generation)).unwrap();
        directory.write_current(&broken).unwrap();
        place.try_open(place.config()).unwrap_err();
        directory.write_current(&whole).unwrap();
        check(&place, &state);
    }
}
