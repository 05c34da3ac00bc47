//! What live watchers are told.

use super::super::testing::pair;
use super::*;

#[test]
fn a_live_watcher_gets_one_response_per_revision() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    for value in ["1", "2", "3"] {
        bench.put("k", value);
    }
    let expected = [2, 3, 4].map(|revision| (0, revision, vec![format!("k@{revision}")]));
    assert_eq!(told(&bench.drain(&mut stream)), expected);
}

#[test]
fn a_revision_arrives_whole_and_in_execution_order() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("a", "d"));
    bench.write(&[
        ("c", Some("1")),
        ("x", Some("1")),
        ("a", Some("1")),
        ("b", Some("1")),
    ]);
    bench.write(&[("b", None), ("a", Some("2")), ("x", None)]);
    let expected = vec![
        (
            0,
            2,
            vec!["c@2".to_owned(), "a@2".to_owned(), "b@2".to_owned()],
        ),
        (0, 3, vec!["-b@3".to_owned(), "a@3".to_owned()]),
    ];
    assert_eq!(told(&bench.drain(&mut stream)), expected);
}

#[test]
fn only_keys_of_the_range_are_told() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    for wish in [
        wish("b", ""),
        wish("b", "d"),
        wish("c", "\0"),
        wish("\0", "\0"),
        wish("\0", ""),
    ] {
        stream.create(wish);
    }
    for key in ["a", "b", "c", "d", "\0"] {
        bench.put(key, "1");
    }
    let told = told(&bench.drain(&mut stream));
    let keys_of = |id: i64| -> Vec<i64> {
        told.iter()
            .filter(|(of, ..)| *of == id)
            .map(|(_, revision, _)| *revision)
            .collect()
    };
    assert_eq!(keys_of(0), vec![3]);
    assert_eq!(keys_of(1), vec![3, 4]);
    assert_eq!(keys_of(2), vec![4, 5]);
    assert_eq!(keys_of(3), vec![2, 3, 4, 5, 6]);
    assert_eq!(keys_of(4), vec![6]);
}

#[test]
fn filters_drop_events_and_empty_responses() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        no_put: true,
        ..wish("a", "c")
    });
    stream.create(Create {
        no_delete: true,
        ..wish("a", "c")
    });
    stream.create(Create {
        no_put: true,
        no_delete: true,
        ..wish("a", "c")
    });
    bench.put("a", "1");
    bench.write(&[("a", None), ("b", Some("1"))]);
    let mut told = told(&bench.drain(&mut stream));
    told.sort();
    let expected = vec![
        (0, 3, vec!["-a@3".to_owned()]),
        (1, 2, vec!["a@2".to_owned()]),
        (1, 3, vec!["b@3".to_owned()]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_deletion_carries_key_and_revision_only() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    bench.delete("k");
    let responses = bench.drain(&mut stream);
    let event = &events(&responses[1])[0];
    assert_eq!(event.r#type(), mvccpb::event::EventType::Delete);
    assert_eq!(event.kv, Some(pair("k", "", 0, 3, 0)));
    assert_eq!(event.prev_kv, None);
}

#[test]
fn previous_pairs_go_to_those_who_asked() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let mut stream = bench.hub.stream();
    stream.create(Create {
        previous: true,
        ..wish("k", "")
    });
    stream.create(wish("k", ""));
    bench.put("k", "2");
    bench.delete("k");
    bench.put("k", "3");
    let responses = bench.drain(&mut stream);
    let previous_of = |id: i64| -> Vec<Option<mvccpb::KeyValue>> {
        let of_watcher = responses.iter().filter(|response| response.watch_id == id);
        of_watcher
            .flat_map(events)
            .map(|event| event.prev_kv)
            .collect()
    };
    let expected = vec![
        Some(pair("k", "1", 2, 2, 1)),
        Some(pair("k", "2", 2, 3, 2)),
        None,
    ];
    assert_eq!(previous_of(0), expected);
    assert_eq!(previous_of(1), vec![None, None, None]);
}

#[test]
fn a_previous_pair_that_was_compacted_is_left_out() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let mut stream = bench.hub.stream();
    stream.create(Create {
        previous: true,
        ..wish("k", "")
    });
    let revision = bench.put("k", "2");
    bench.history.compact(revision);
    let responses = bench.drain(&mut stream);
    assert_eq!(events(&responses[1])[0].prev_kv, None);
}

#[test]
fn a_watcher_for_previous_pairs_made_during_the_lookups_still_gets_them() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let mut stream = bench.hub.stream();
    // Somebody has to listen for the publication to be kept.
    stream.create(wish("other", ""));
    bench.put("k", "2");
    let batch = bench.worker.take_batch();
    assert!(bench.worker.lookups(&batch).is_none());
    stream.create(Create {
        previous: true,
        ..from("k", "", 3)
    });
    bench.worker.dispatch(batch);
    bench.put("k", "3");
    let responses = bench.drain(&mut stream);
    let previous: Vec<_> = responses
        .iter()
        .flat_map(events)
        .map(|event| event.prev_kv)
        .collect();
    let expected = vec![Some(pair("k", "1", 2, 2, 1)), Some(pair("k", "2", 2, 3, 2))];
    assert_eq!(previous, expected);
}

#[test]
fn a_future_start_waits_for_its_revision() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 4));
    for value in ["1", "2", "3", "4"] {
        bench.put("k", value);
    }
    let expected = [4, 5].map(|revision| (0, revision, vec![format!("k@{revision}")]));
    assert_eq!(told(&bench.drain(&mut stream)), expected);
}

#[test]
fn without_a_start_only_later_revisions_are_told() {
    let mut bench = Bench::new();
    let mut early = bench.hub.stream();
    early.create(wish("k", ""));
    // Published, but not handed out when the second watcher comes.
    bench.put("k", "1");
    let mut late = bench.hub.stream();
    late.create(wish("k", ""));
    bench.put("k", "2");
    assert_eq!(told(&bench.drain(&mut early)).len(), 2);
    assert_eq!(
        told(&bench.drain(&mut late)),
        vec![(0, 3, vec!["k@3".to_owned()])]
    );
}

#[test]
fn a_stream_is_woken_once_per_batch() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(wish("a", "z"));
    read(&mut stream);
    let count = Arc::new(Count::default());
    assert!(
        stream
            .poll_next(&Waker::from(Arc::clone(&count)))
            .is_pending()
    );
    for _ in 0..10 {
        bench.put("k", "1");
    }
    bench.settle();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(read(&mut stream).len(), 20);
}

#[test]
fn the_encoding_of_an_event_is_shared_by_all_watchers() {
    let mut bench = Bench::new();
    let mut streams: Vec<_> = (0..3).map(|_| bench.hub.stream()).collect();
    for stream in &mut streams {
        stream.create(wish("k", ""));
        stream.create(wish("a", "z"));
    }
    bench.put("k", "1");
    bench.settle();
    let addresses: Vec<*const u8> = streams
        .iter_mut()
        .flat_map(read)
        .filter_map(|response| match response.body {
            Body::Events { events, .. } => Some(events[0].as_ptr()),
            _ => None,
        })
        .collect();
    assert_eq!(addresses.len(), 6);
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}
