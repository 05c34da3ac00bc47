//! Bounded queues: nothing grows, nothing is lost.

use super::super::Config;
use super::*;

fn small() -> Config {
    Config {
        stream_responses_max: 4,
        stream_bytes_max: 1000,
        catch_up_revisions_max: 3,
        catch_up_bytes_max: 500,
        ring_revisions_max: 5,
        ..Config::default()
    }
}

fn all_revisions(responses: &[Response]) -> Vec<i64> {
    let events = responses.iter().flat_map(events);
    events.map(|event| event.kv.unwrap().mod_revision).collect()
}

#[test]
fn a_stalled_stream_holds_no_more_than_its_bound_and_misses_nothing() {
    let mut bench = Bench::with(small());
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    for _ in 0..100 {
        bench.put("k", "1");
        bench.settle();
        assert!(bench.hub.metrics().pending_events_count <= 4);
    }
    assert_eq!(bench.hub.metrics().slow_watchers_count, 1);
    let responses = bench.drain(&mut stream);
    assert_eq!(all_revisions(&responses), (2..=101).collect::<Vec<_>>());
    assert_eq!(bench.hub.metrics().slow_watchers_count, 0);
    assert_eq!(bench.hub.metrics().pending_events_count, 0);
    assert_eq!(bench.hub.metrics().events_sent_total, 100);
}

#[test]
fn a_stalled_stream_is_bounded_by_bytes_too() {
    let mut bench = Bench::with(Config {
        stream_responses_max: 1000,
        ..small()
    });
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    let value = "x".repeat(300);
    for _ in 0..50 {
        bench.put("k", &value);
    }
    bench.settle();
    assert!(bench.hub.metrics().pending_events_count <= 4);
    let responses = bench.drain(&mut stream);
    assert_eq!(all_revisions(&responses), (2..=51).collect::<Vec<_>>());
}

#[test]
fn a_response_larger_than_the_bound_still_passes() {
    let mut bench = Bench::with(small());
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    let value = "x".repeat(5000);
    for _ in 0..3 {
        bench.put("k", &value);
    }
    assert_eq!(all_revisions(&bench.drain(&mut stream)), vec![2, 3, 4]);
}

#[test]
fn a_short_stall_is_made_up_without_reading_the_store() {
    let mut bench = Bench::with(Config {
        ring_revisions_max: 1000,
        ..small()
    });
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(Create {
        previous: true,
        ..wish("k", "")
    });
    for _ in 0..50 {
        bench.put("k", "1");
    }
    let responses = bench.drain(&mut stream);
    assert_eq!(all_revisions(&responses).len(), 100);
    assert_eq!(bench.hub.metrics().store_reads_total, 0);
}

#[test]
fn a_stalled_stream_does_not_hold_another_one_up() {
    let mut bench = Bench::with(small());
    let (mut stalled, mut quick) = (bench.hub.stream(), bench.hub.stream());
    stalled.create(wish("k", ""));
    quick.create(wish("k", ""));
    let mut seen = Vec::new();
    for _ in 0..50 {
        bench.put("k", "1");
        bench.settle();
        seen.extend(all_revisions(&read(&mut quick)));
    }
    assert_eq!(seen, (2..=51).collect::<Vec<_>>());
    assert_eq!(
        all_revisions(&bench.drain(&mut stalled)),
        (2..=51).collect::<Vec<_>>()
    );
}

#[test]
fn requests_wait_while_the_queue_is_full() {
    let mut bench = Bench::with(small());
    let mut stream = bench.hub.stream();
    while stream.has_room() {
        stream.cancel(0);
        stream.create(wish("k", ""));
    }
    assert!(read(&mut stream).len() <= 5);
    assert!(stream.has_room());
    bench.settle();
}

#[test]
fn a_full_inbox_turns_into_reads_of_the_store() {
    let config = Config {
        inbox_revisions_max: 10,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(from("k", "", 30));
    for _ in 0..25 {
        bench.put("k", "1");
    }
    let responses = bench.drain(&mut stream);
    assert_eq!(all_revisions(&responses), (2..=26).collect::<Vec<_>>());
    for _ in 0..5 {
        bench.put("k", "1");
    }
    let told = told(&bench.drain(&mut stream));
    assert_eq!(told.iter().filter(|(id, ..)| *id == 0).count(), 5);
    assert_eq!(told.iter().filter(|(id, ..)| *id == 1).count(), 2);
}

#[test]
fn a_restored_store_is_read_from_where_each_watcher_is() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    bench.put("k", "1");
    bench.settle();
    // A snapshot brings these.
    for _ in 0..10 {
        bench.history.put("k", "1");
    }
    bench.hub.restored();
    bench.put("k", "1");
    assert_eq!(
        all_revisions(&bench.drain(&mut stream)),
        (2..=13).collect::<Vec<_>>()
    );
}

#[test]
fn a_large_response_is_fragmented_for_those_who_asked() {
    let config = Config {
        fragment_bytes: 1000,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let mut stream = bench.hub.stream();
    stream.create(Create {
        fragment: true,
        ..wish("a", "z")
    });
    stream.create(wish("a", "z"));
    let value = "x".repeat(300);
    let changes: Vec<Change<'_>> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|key| (*key, Some(value.as_str())))
        .collect();
    bench.write(&changes);
    let responses = bench.drain(&mut stream);
    let shape_of = |id: i64| -> Vec<(i64, usize, bool)> {
        responses
            .iter()
            .filter(|response| response.watch_id == id)
            .filter_map(|response| match &response.body {
                Body::Events { events, fragment } => {
                    Some((response.revision, events.len(), *fragment))
                }
                _ => None,
            })
            .collect()
    };
    assert_eq!(shape_of(0), vec![(2, 2, true), (2, 2, true), (2, 1, false)]);
    assert_eq!(shape_of(1), vec![(2, 5, false)]);
    // One event is never split, however large.
    bench.put("k", &"x".repeat(3000));
    let told = told(&bench.drain(&mut stream));
    assert_eq!(told.len(), 2);
}
