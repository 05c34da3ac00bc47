//! The hub on a runtime, with real concurrency.

use std::time::Duration;

use super::*;

/// Far more than any of these tests takes; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

fn small() -> Config {
    Config {
        stream_responses_max: 8,
        catch_up_revisions_max: 50,
        ring_revisions_max: 100,
        inbox_revisions_max: 200,
        ..Config::default()
    }
}

fn spawn_writer(
    hub: &Hub,
    history: &Arc<MemoryHistory>,
    count: usize,
) -> std::thread::JoinHandle<()> {
    let (hub, history) = (hub.clone(), Arc::clone(history));
    std::thread::spawn(move || {
        for index in 0..count {
            let committed = history.put(if index % 4 == 3 { "other" } else { "k" }, "value");
            hub.publish(vec![committed]);
        }
    })
}

/// Reads until revision `last` was told; returns all revisions told.
async fn read_to(mut stream: WatchStream, last: i64, is_slow: bool) -> Vec<i64> {
    let mut revisions = Vec::new();
    while revisions.last() != Some(&last) {
        let response = stream.next().await.unwrap();
        let events = events(&response);
        revisions.extend(
            events
                .iter()
                .map(|event| event.kv.as_ref().unwrap().mod_revision),
        );
        if is_slow {
            tokio::task::yield_now().await;
        }
    }
    revisions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_keep_up_with_a_writer_at_full_speed() {
    let history = MemoryHistory::new();
    for _ in 0..300 {
        history.put("k", "old");
    }
    let hub = Hub::new(history.clone(), small());
    let runner = tokio::spawn({
        let hub = hub.clone();
        async move { hub.run().await }
    });
    let mut readers = Vec::new();
    for index in 0..12i64 {
        let mut stream = hub.stream();
        // From the past, from now, from the future; single keys and ranges.
        let start = [2, 0, 400][usize::try_from(index % 3).unwrap()];
        let range_end = if index % 2 == 0 { "" } else { "l" };
        stream.create(Create {
            previous: index == 5,
            ..from("k", range_end, start)
        });
        let first = if start == 0 { 302 } else { start };
        readers.push((first, tokio::spawn(read_to(stream, 2300, index % 4 == 0))));
    }
    let writer = spawn_writer(&hub, &history, 2000);
    // The last revision that is not of the other key; then one more to end.
    let expected_from = |first: i64| -> Vec<i64> {
        (first..=2300)
            .filter(|revision| *revision < 302 || (revision - 302) % 4 != 3)
            .collect()
    };
    for (first, reader) in readers {
        let revisions = tokio::time::timeout(DEADLINE, reader)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(revisions, expected_from(first));
    }
    writer.join().unwrap();
    let metrics = hub.metrics();
    assert_eq!((metrics.streams_count, metrics.watchers_count), (0, 0));
    assert_eq!(
        (metrics.slow_watchers_count, metrics.pending_events_count),
        (0, 0)
    );
    hub.close();
    tokio::time::timeout(DEADLINE, runner)
        .await
        .unwrap()
        .unwrap();
    assert!(hub.closed().is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_come_and_go_leave_nothing_behind() {
    let history = MemoryHistory::new();
    history.put("k", "1");
    let hub = Hub::new(history.clone(), small());
    let runner = tokio::spawn({
        let hub = hub.clone();
        async move { hub.run().await }
    });
    let writer = spawn_writer(&hub, &history, 500);
    for round in 0..200i64 {
        let mut stream = hub.stream();
        stream.create(from("k", "", if round % 2 == 0 { 0 } else { 2 }));
        stream.create(wish("", "\0"));
        stream.request_progress();
        // Dropped with everything unread, or after one or two responses.
        for _ in 0..round % 3 {
            tokio::time::timeout(DEADLINE, stream.next())
                .await
                .unwrap()
                .unwrap();
        }
    }
    writer.join().unwrap();
    let metrics = hub.metrics();
    assert_eq!((metrics.streams_count, metrics.watchers_count), (0, 0));
    assert_eq!(
        (metrics.slow_watchers_count, metrics.pending_events_count),
        (0, 0)
    );
    assert!(hub.shared().group.is_empty());
    hub.close();
    tokio::time::timeout(DEADLINE, runner)
        .await
        .unwrap()
        .unwrap();
}
