//! Progress marks, asked for and on their own.

use super::*;

fn marks(responses: &[Response]) -> Vec<(i64, i64)> {
    responses
        .iter()
        .filter(|response| response.body == Body::Progress)
        .map(|response| (response.watch_id, response.revision))
        .collect()
}

#[test]
fn a_request_is_answered_for_the_whole_stream_behind_its_events() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(wish("a", "z"));
    bench.put("k", "1");
    bench.settle();
    stream.request_progress();
    let responses = bench.drain(&mut stream);
    assert_eq!(responses.last(), Some(&response(-1, 2, Body::Progress)));
    assert_eq!(marks(&responses).len(), 1);
    assert_eq!(told(&responses).len(), 2);
}

#[test]
fn a_request_waits_for_revisions_not_yet_handed_out() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    bench.put("k", "1");
    stream.request_progress();
    stream.request_progress();
    assert_eq!(marks(&read(&mut stream)), vec![]);
    let responses = bench.drain(&mut stream);
    assert_eq!(told(&responses).len(), 1);
    assert_eq!(responses.last(), Some(&response(-1, 2, Body::Progress)));
}

#[test]
fn a_request_on_a_stream_without_watchers_is_not_answered() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.request_progress();
    assert_eq!(bench.drain(&mut stream), vec![]);
    stream.create(wish("k", ""));
    stream.cancel(0);
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![]);
}

#[test]
fn one_watcher_behind_suppresses_the_answer() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.settle();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(from("k", "", 2));
    stream.request_progress();
    assert_eq!(marks(&read(&mut stream)), vec![]);
    assert_eq!(marks(&bench.drain(&mut stream)), vec![]);
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![(-1, 2)]);
}

#[test]
fn one_future_start_suppresses_the_answer() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(wish("k", ""));
    stream.create(from("k", "", 3));
    bench.put("x", "1");
    bench.settle();
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![]);
    bench.put("x", "1");
    bench.settle();
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![(-1, 3)]);
}

#[test]
fn an_overtaken_watcher_suppresses_the_answer_until_cancelled() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.put("k", "1");
    }
    bench.history.compact(4);
    let mut stream = bench.hub.stream();
    stream.create(from("k", "", 2));
    stream.create(wish("k", ""));
    bench.drain(&mut stream);
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![]);
    stream.cancel(0);
    stream.request_progress();
    assert_eq!(marks(&bench.drain(&mut stream)), vec![(-1, 4)]);
}

#[test]
fn a_tick_marks_quiet_watchers_that_asked_for_it() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        progress_notify: true,
        ..wish("k", "")
    });
    stream.create(wish("k", ""));
    stream.create(Create {
        progress_notify: true,
        ..from("k", "", 5)
    });
    assert!(stream.wants_ticks());
    bench.drain(&mut stream);
    bench.put("x", "1");
    bench.settle();
    stream.tick();
    assert_eq!(marks(&read(&mut stream)), vec![(0, 2)]);
    stream.cancel(0);
    stream.cancel(2);
    assert!(!stream.wants_ticks());
}

#[test]
fn a_tick_is_skipped_once_after_events() {
    let mut bench = Bench::new();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        progress_notify: true,
        ..wish("k", "")
    });
    bench.put("k", "1");
    bench.drain(&mut stream);
    stream.tick();
    assert_eq!(marks(&read(&mut stream)), vec![]);
    stream.tick();
    assert_eq!(marks(&read(&mut stream)), vec![(0, 2)]);
}

#[test]
fn a_tick_does_not_mark_a_watcher_that_lags() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.settle();
    let mut stream = bench.hub.stream();
    stream.create(Create {
        progress_notify: true,
        ..from("k", "", 2)
    });
    stream.tick();
    assert_eq!(marks(&read(&mut stream)), vec![]);
}
