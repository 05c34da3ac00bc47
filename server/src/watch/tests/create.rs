//! Creating and cancelling watchers.

use super::super::Refusal;
use super::*;

#[test]
fn created_comes_first_with_the_stores_revision() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.put("k", "2");
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 2));
    let responses = bench.drain(&mut stream);
    assert_eq!(responses[0], response(0, 3, Body::Created));
    assert_eq!(
        told(&responses),
        vec![(0, 3, vec!["k@2".to_owned(), "k@3".to_owned()])]
    );
}

#[test]
fn ids_are_assigned_from_zero_and_not_reused() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        watch_id: 1,
        ..wish("a", "")
    });
    for _ in 0..2 {
        stream.create(wish("a", ""));
    }
    stream.cancel(2);
    stream.create(wish("a", ""));
    // A chosen id may be used again once it is free.
    stream.cancel(1);
    stream.create(Create {
        watch_id: 1,
        ..wish("a", "")
    });
    // Negative ids are ids.
    stream.create(Create {
        watch_id: -7,
        ..wish("a", "")
    });
    let ids: Vec<(i64, bool)> = bench
        .drain(&mut stream)
        .iter()
        .map(|response| (response.watch_id, response.body == Body::Created))
        .collect();
    let expected = [
        (1, true),
        (0, true),
        (2, true),
        (2, false),
        (3, true),
        (1, false),
    ];
    assert_eq!(ids[..6], expected);
    assert_eq!(ids[6..], [(1, true), (-7, true)]);
}

#[test]
fn ids_of_two_streams_are_independent() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (bench.hub.stream(), bench.hub.stream());
    one.create(wish("a", ""));
    two.create(wish("a", ""));
    bench.put("a", "1");
    assert_eq!(
        told(&bench.drain(&mut one)),
        vec![(0, 2, vec!["a@2".to_owned()])]
    );
    assert_eq!(
        told(&bench.drain(&mut two)),
        vec![(0, 2, vec!["a@2".to_owned()])]
    );
}

#[test]
fn a_negative_start_is_refused_as_compacted() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", -1));
    // It is what is checked first.
    stream.create(from("k", "a", -1));
    let refused = response(-1, 1, Body::Refused(Refusal::StartCompacted));
    assert_eq!(bench.drain(&mut stream), vec![refused.clone(), refused]);
}

#[test]
fn an_empty_range_is_refused() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("b", "a"));
    stream.create(wish("b", "b"));
    let refused = response(-1, 1, Body::Refused(Refusal::EmptyRange));
    assert_eq!(bench.drain(&mut stream), vec![refused.clone(), refused]);
    // Everything from a key on is not empty.
    stream.create(wish("b", "\0"));
    assert_eq!(
        bench.drain(&mut stream),
        vec![response(0, 1, Body::Created)]
    );
}

#[test]
fn a_used_id_is_refused_and_the_stream_goes_on() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        watch_id: 5,
        ..wish("a", "")
    });
    stream.create(Create {
        watch_id: 5,
        ..wish("b", "")
    });
    bench.put("a", "1");
    bench.put("b", "1");
    let responses = bench.drain(&mut stream);
    assert_eq!(
        responses[1],
        response(-1, 1, Body::Refused(Refusal::DuplicateId))
    );
    assert_eq!(told(&responses), vec![(5, 2, vec!["a@2".to_owned()])]);
}

#[test]
fn a_denied_creation_is_answered_with_its_reason() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.refuse(Refusal::Denied("no".to_owned()));
    let refused = response(-1, 1, Body::Refused(Refusal::Denied("no".to_owned())));
    assert_eq!(bench.drain(&mut stream), vec![refused]);
}

#[test]
fn a_cancelled_watcher_gets_nothing_after_the_reply() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    bench.put("k", "1");
    bench.settle();
    stream.cancel(0);
    bench.put("k", "2");
    let responses = bench.drain(&mut stream);
    assert_eq!(responses.len(), 3);
    assert_eq!(told(&responses[..2]), vec![(0, 2, vec!["k@2".to_owned()])]);
    assert_eq!(responses[2], response(0, 2, Body::Canceled));
    assert!(bench.hub.shared().group.is_empty());
}

#[test]
fn cancelling_an_unknown_id_is_silent() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.cancel(3);
    stream.create(wish("k", ""));
    stream.cancel(0);
    stream.cancel(0);
    let expected = vec![Body::Created, Body::Canceled];
    assert_eq!(bodies(&bench.drain(&mut stream)), expected);
}

#[test]
fn a_watcher_cancelled_while_it_catches_up_gets_nothing_more() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 2));
    let job = bench.step().unwrap();
    stream.cancel(0);
    bench.finish(job);
    assert_eq!(
        bodies(&bench.drain(&mut stream)),
        vec![Body::Created, Body::Canceled]
    );
    drop(stream);
    bench.assert_empty();
}

#[test]
fn a_dropped_stream_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.put("k", "2");
    bench.history.compact(3);
    let mut streams = Vec::new();
    for index in 0..10i64 {
        let mut stream = bench.hub.stream();
        stream.create(wish("k", ""));
        stream.create(wish("a", "z"));
        stream.create(Create {
            previous: true,
            ..wish("", "\0")
        });
        // Overtaken, lagging, and future ones.
        stream.create(from("k", "", 2));
        stream.create(from("k", "", 3));
        stream.create(from("k", "", 100 + index));
        streams.push(stream);
        if index % 3 == 0 {
            bench.settle();
        }
        bench.put("k", "3");
    }
    bench.settle();
    for stream in streams.iter_mut().step_by(2) {
        read_one(stream);
    }
    assert_eq!(bench.hub.metrics().streams_count, 10);
    assert_eq!(bench.hub.metrics().watchers_count, 50);
    bench.put("k", "4");
    let job = bench.step();
    drop(streams);
    if let Some(job) = job {
        bench.finish(job);
    }
    bench.assert_empty();
    bench.put("k", "5");
    bench.assert_empty();
}
