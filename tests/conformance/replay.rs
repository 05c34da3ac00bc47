//! One test per recorded area.

use quoin_tests::conformance::suite::{self, Difference};

/// Differences that are wanted: area, a part of the action, and why. An entry
/// that no longer differs fails the test.
const ACCEPTED: [(&str, &str, &str); 3] = [
    (
        "kv_compact",
        r#""Maintenance.HashKV","request":{"revision":5}"#,
        "etcd answers with the hash kept from before the compaction; members are compared alike",
    ),
    (
        "kv_compact",
        r#""Maintenance.HashKV","request":{"revision":109}"#,
        "the same",
    ),
    (
        "maintenance",
        r#""Maintenance.Downgrade","request":{"action":"VALIDATE","version":"3.6.0"}"#,
        "no older release reads what Quoin keeps",
    ),
];

fn action(difference: &Difference) -> String {
    serde_json::to_string(&difference.step.action).unwrap()
}

fn accepted(difference: &Difference, accept: &(&str, &str, &str)) -> bool {
    accept.0 == difference.area && action(difference).contains(accept.1)
}

async fn replay(area: &str) {
    let expected = suite::load_trace(area).unwrap();
    let script = suite::load_script(area).unwrap();
    let recorded = expected.steps.iter().map(|step| (&step.rule, &step.action));
    let scripted = script.steps.iter().map(|step| (&step.rule, &step.action));
    assert!(
        recorded.eq(scripted),
        "{area}: the script changed after it was recorded; record it again"
    );
    let found = suite::play_fresh(&expected, None).await.unwrap();
    let mut differences = suite::differences(&expected, &found);
    for accept in ACCEPTED.iter().filter(|accept| accept.0 == area) {
        let before = differences.len();
        differences.retain(|difference| !accepted(difference, accept));
        assert!(
            differences.len() < before,
            "{accept:?} does not differ any more"
        );
    }
    let shown = differences
        .iter()
        .take(10)
        .map(ToString::to_string)
        .collect::<String>();
    let (count, steps) = (differences.len(), expected.steps.len());
    assert!(
        count == 0,
        "{count} of {steps} steps differ; the first:\n{shown}"
    );
}

macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $area() {
            replay(stringify!($area)).await;
        })*

        #[test]
        fn every_area_is_replayed() {
            let areas: Vec<_> = [$(stringify!($area)),*].map(str::to_owned).into();
            assert_eq!(suite::areas().unwrap(), areas);
        }
    };
}

areas! {
    alarms,
    kv_compact,
    kv_delete,
    kv_put,
    kv_range,
    kv_range_stream,
    kv_txn,
    kv_txn_validation,
    lease,
    lease_expiry,
    limits,
    maintenance,
    watch_compaction,
    watch_create,
    watch_events,
    watch_fragment,
    watch_progress,
}
