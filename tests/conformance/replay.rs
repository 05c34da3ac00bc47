//! One test per recorded area.

use quoin_tests::conformance::suite::{self, Difference};

/// Differences that are wanted: area, a part of the action, and why. An entry
/// that no longer differs fails the test.
const ACCEPTED: [(&str, &str, &str); 2] = [
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
];

/// Calls that this version does not offer; it must say so.
const NOT_OFFERED: [&str; 2] = ["Maintenance.Downgrade", "Maintenance.Hash"];

fn action(difference: &Difference) -> String {
    serde_json::to_string(&difference.step.action).unwrap()
}

fn accepted(difference: &Difference, accept: &(&str, &str, &str)) -> bool {
    accept.0 == difference.area && action(difference).contains(accept.1)
}

fn not_offered(difference: &Difference) -> bool {
    let action = action(difference);
    let named = NOT_OFFERED
        .iter()
        .any(|method| action.contains(&format!("\"{method}\"")));
    let error = &difference.found["error"];
    let message = error["message"].as_str().unwrap_or_default();
    named && error["code"] == "Unimplemented" && message.contains("not offered by this version")
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
    for method in NOT_OFFERED.iter().filter(|_| area == "maintenance") {
        let named = |difference: &Difference| action(difference).contains(method);
        let refused = differences
            .iter()
            .any(|difference| named(difference) && not_offered(difference));
        assert!(refused, "{method} is offered: take it off the list");
    }
    differences.retain(|difference| !not_offered(difference));
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
