//! Simulated clusters: fixed seeds and fresh ones, the same twice, and planted faults.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

use std::path::Path;
use std::time::SystemTime;

use quoin_tests::simulation::{Outcome, Plant, Settings, run_apart};

fn run(seed: u64, settings: &Settings) -> Outcome {
    run_apart(Path::new(env!("CARGO_BIN_EXE_faults")), seed, settings).unwrap()
}

fn short() -> Settings {
    Settings {
        trouble_seconds: 20,
        ..Settings::default()
    }
}

fn keeps_its_promises(seed: u64) {
    let outcome = run(seed, &short());
    assert_eq!(
        outcome.violation, None,
        "again: faults replay {seed} --trouble-seconds 20"
    );
    assert!(outcome.writes > 0 && outcome.events > 0);
}

#[test]
fn a_seed_repeats_exactly() {
    let hashes = [3, 17].map(|seed| {
        let (first, again) = (run(seed, &short()), run(seed, &short()));
        assert_eq!((&first.hash, first.events), (&again.hash, again.events));
        first.hash
    });
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn without_faults_everything_is_answered() {
    let settings = Settings {
        is_calm: true,
        ..short()
    };
    let outcome = run(7, &settings);
    assert_eq!(outcome.violation, None);
    assert!(outcome.writes > 100 && outcome.reads > 100, "{outcome:?}");
}

#[test]
fn fixed_seeds_keep_their_promises() {
    (1000..1006).for_each(keeps_its_promises);
}

#[test]
fn fresh_seeds_keep_their_promises() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let fresh = since.as_secs() & 0xff_ffff;
    (fresh..fresh + 3).for_each(keeps_its_promises);
}

#[test]
fn every_planted_fault_is_seen() {
    for plant in Plant::ALL {
        let settings = Settings {
            plant: Some(plant),
            trouble_seconds: 30,
            ..Settings::default()
        };
        let is_seen = |seed: &u64| run(*seed, &settings).violation.is_some();
        assert!((1..30).any(|seed| is_seen(&seed)), "{plant:?} is not seen");
    }
}
