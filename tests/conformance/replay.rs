//! One test per recorded area.

use quoin_tests::conformance::suite;

/// Differences that are wanted: area, start of the rule, and why.
const ACCEPTED: [(&str, &str, &str); 0] = [];

async fn replay(area: &str) {
    let expected = suite::load_trace(area).unwrap();
    let script = suite::load_script(area).unwrap();
    let recorded = expected.steps.iter().map(|step| (&step.rule, &step.action));
    let scripted = script.steps.iter().map(|step| (&step.rule, &step.action));
    assert!(
        recorded.eq(scripted),
        "{area}: script changed after recording; record it again"
    );
    let found = suite::play_fresh(&expected, None).await.unwrap();
    let mut differences = suite::differences(&expected, &found);
    differences.retain(|difference| {
        let rule = &difference.step.rule;
        !ACCEPTED
            .iter()
            .any(|(place, start, _)| *place == area && rule.starts_with(start))
    });
    let shown = differences
        .iter()
        .take(10)
        .map(ToString::to_string)
        .collect::<String>();
    let count = differences.len();
    assert!(
        count == 0,
        "{count} of {} steps differ; the first:\n{shown}",
        expected.steps.len()
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
