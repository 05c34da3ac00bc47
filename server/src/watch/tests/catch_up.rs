//! Watchers that start in the past, or fall behind.

use super::*;

/// Each revision told to a watcher, with the header's revision.
fn revisions(responses: &[Response]) -> Vec<(i64, Vec<i64>)> {
    let of_events = |response: &Response| {
        events(response)
            .iter()
            .map(|event| event.kv.as_ref().unwrap().mod_revision)
            .collect()
    };
    responses
        .iter()
        .filter(|response| matches!(response.body, Body::Events { .. }))
        .map(|response| (response.revision, of_events(response)))
        .collect()
}

#[test]
fn history_comes_in_batches_and_then_live_without_a_seam() {
    let config = Config {
        catch_up_revisions_max: 3,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    for _ in 0..7 {
        bench.put("k", "1");
    }
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 2));
    let job = bench.step().unwrap();
    let findings = job.run(&*bench.history);
    // Written while the store is read.
    bench.put("k", "1");
    bench.worker.finish_job(findings);
    let responses = bench.drain(&mut stream);
    bench.put("k", "1");
    let live = bench.drain(&mut stream);
    let told = revisions(&responses);
    assert_eq!(told[0], (8, vec![2, 3, 4]));
    let all: Vec<i64> = told
        .iter()
        .flat_map(|(_, revisions)| revisions.clone())
        .collect();
    assert_eq!(all, (2..=9).collect::<Vec<_>>());
    assert!(told.iter().all(|(_, revisions)| revisions.len() <= 3));
    assert_eq!(revisions(&live), vec![(10, vec![10])]);
    assert_eq!(bench.hub.metrics().slow_watchers_count, 0);
}

#[test]
fn a_batch_is_bounded_by_bytes_but_never_splits_a_revision() {
    let config = Config {
        catch_up_bytes_max: 100,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let value = "x".repeat(80);
    for _ in 0..3 {
        bench.write(&[
            ("a", Some(&value)),
            ("b", Some(&value)),
            ("c", Some(&value)),
        ]);
    }
    let mut stream = bench.hub.stream();
    stream.create(from("a", "z", 2));
    let told = revisions(&bench.drain(&mut stream));
    assert_eq!(
        told,
        vec![(4, vec![2, 2, 2]), (4, vec![3, 3, 3]), (4, vec![4, 4, 4])]
    );
}

#[test]
fn watchers_near_each_other_share_one_read() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        bench.put("k", "1");
    }
    let mut streams: Vec<_> = (0..20).map(|_| bench.hub.stream()).collect();
    for (start, stream) in (2..).zip(&mut streams) {
        stream.create(from("k", "", start));
    }
    bench.settle();
    assert!(
        bench.hub.metrics().store_reads_total <= 2,
        "{:?}",
        bench.hub.metrics()
    );
    for (start, stream) in (2..).zip(&mut streams) {
        let told = revisions(&read(stream));
        assert_eq!(told, vec![(51, (start..=51).collect::<Vec<i64>>())]);
    }
}

#[test]
fn a_start_below_the_compact_revision_is_created_and_then_ended() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.put("k", "1");
    }
    bench.history.compact(4);
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 3));
    let expected = vec![
        response(0, 6, Body::Created),
        response(
            0,
            0,
            Body::Compacted {
                compact_revision: 4,
            },
        ),
    ];
    assert_eq!(bench.drain(&mut stream), expected);
    // It gets nothing more, but its id is known until the client cancels it.
    bench.put("k", "1");
    stream.create(Create {
        watch_id: 0,
        ..wish("k", "")
    });
    assert_eq!(
        bench.drain(&mut stream),
        vec![response(1, 7, Body::Created)]
    );
    stream.cancel(0);
    assert_eq!(
        bench.drain(&mut stream),
        vec![response(0, 7, Body::Canceled)]
    );
    drop(stream);
    bench.assert_empty();
}

#[test]
fn a_start_at_the_compact_revision_gets_that_revision() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.put("k", "1");
    }
    bench.history.compact(4);
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 4));
    assert_eq!(
        revisions(&bench.drain(&mut stream)),
        vec![(6, vec![4, 5, 6])]
    );
}

#[test]
fn a_slow_watcher_is_ended_where_compaction_overtakes_it() {
    let config = Config {
        stream_responses_max: 2,
        ring_revisions_max: 1,
        catch_up_revisions_max: 2,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    for _ in 0..10 {
        bench.put("k", "1");
        bench.settle();
    }
    bench.history.compact(9);
    let responses = bench.drain(&mut stream);
    let (last, before) = responses.split_last().unwrap();
    assert_eq!(
        *last,
        response(
            0,
            0,
            Body::Compacted {
                compact_revision: 9
            }
        )
    );
    assert_eq!(revisions(before), vec![(2, vec![2])]);
}

#[test]
fn compaction_during_the_read_ends_or_serves_but_never_skips() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.put("k", "1");
    }
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 3));
    stream.create(from("k", "", 6));
    let job = bench.step().unwrap();
    bench.history.compact(5);
    bench.finish(job);
    let responses = bench.drain(&mut stream);
    assert!(responses.contains(&response(
        0,
        0,
        Body::Compacted {
            compact_revision: 5
        }
    )));
    assert_eq!(revisions(&responses), vec![(7, vec![6, 7])]);
}

#[test]
fn previous_pairs_are_looked_up_when_catching_up() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.put("k", "2");
    bench.put("k", "3");
    let mut stream = bench.hub.stream();
    stream.create(Create {
        previous: true,
        ..from("k", "", 2)
    });
    stream.create(from("k", "", 2));
    let responses = bench.drain(&mut stream);
    let versions_of = |id: i64| -> Vec<Option<i64>> {
        let of_watcher = responses.iter().filter(|response| response.watch_id == id);
        let events = of_watcher.flat_map(events);
        events
            .map(|event| event.prev_kv.map(|previous| previous.version))
            .collect()
    };
    assert_eq!(versions_of(0), vec![None, Some(1), Some(2)]);
    assert_eq!(versions_of(1), vec![None, None, None]);
}

#[test]
fn history_without_matches_is_passed_over_silently() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.put("other", "1");
    }
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 2));
    assert_eq!(bodies(&bench.drain(&mut stream)), vec![Body::Created]);
    assert_eq!(bench.hub.metrics().slow_watchers_count, 0);
    bench.put("k", "1");
    assert_eq!(revisions(&bench.drain(&mut stream)), vec![(12, vec![12])]);
}

#[test]
fn a_store_that_cannot_be_read_ends_the_stream() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let (mut lagging, mut live) = (bench.hub.stream(), bench.hub.stream());
    lagging.create(from("k", "", 2));
    live.create(wish("k", ""));
    bench.history.break_reads();
    bench.settle();
    assert_eq!(
        bodies(&[read_one(&mut lagging).unwrap()]),
        vec![Body::Created]
    );
    assert!(matches!(
        lagging.poll_next(Waker::noop()),
        Poll::Ready(Err(_))
    ));
    drop(lagging);
    bench.put("k", "2");
    assert_eq!(revisions(&bench.drain(&mut live)), vec![(3, vec![3])]);
    drop(live);
    bench.assert_empty();
}
