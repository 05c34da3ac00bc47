//! Ends of a transfer that are never closed on the raft thread.
//!
//! A source may be the last to hold a state that has been replaced, a sink holds
//! one that is not complete: an engine closes and its files go when it is dropped.
//! Whoever lets go of one, in the transfer or in openraft, hands that to
//! [`Blocking::discard`].

use std::any::Any;

use bytes::Bytes;

use crate::blocking::Blocking;
use crate::error::StateMachineError;
use crate::state_machine::{Applied, SnapshotSink, SnapshotSource};

/// The same source, closed elsewhere.
pub(crate) fn source_closed_off_thread(
    source: Box<dyn SnapshotSource>,
    blocking: Blocking,
) -> Box<dyn SnapshotSource> {
    Box::new(Source { source, blocking })
}

/// The same sink, closed elsewhere.
pub(crate) fn sink_closed_off_thread(
    sink: Box<dyn SnapshotSink>,
    blocking: Blocking,
) -> Box<dyn SnapshotSink> {
    Box::new(Sink { sink, blocking })
}

struct Source {
    source: Box<dyn SnapshotSource>,
    blocking: Blocking,
}

impl SnapshotSource for Source {
    fn applied(&self) -> Applied {
        self.source.applied()
    }

    fn again(&self) -> Box<dyn SnapshotSource> {
        source_closed_off_thread(self.source.again(), self.blocking.clone())
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
        self.source.next_chunk()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Box::new(Nothing));
        self.blocking.discard(source);
    }
}

struct Sink {
    sink: Box<dyn SnapshotSink>,
    blocking: Blocking,
}

impl SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError> {
        self.sink.write(chunk)
    }

    fn into_any(mut self: Box<Self>) -> Box<dyn Any + Send> {
        std::mem::replace(&mut self.sink, Box::new(Nothing)).into_any()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let sink = std::mem::replace(&mut self.sink, Box::new(Nothing));
        self.blocking.discard(sink);
    }
}

/// What is left where something was handed on.
struct Nothing;

impl SnapshotSource for Nothing {
    fn applied(&self) -> Applied {
        Applied::default()
    }

    fn again(&self) -> Box<dyn SnapshotSource> {
        Box::new(Self)
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
        Ok(None)
    }
}

impl SnapshotSink for Nothing {
    fn write(&mut self, _: Bytes) -> Result<(), StateMachineError> {
        Err(StateMachineError::new("the sink was handed on"))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says on which thread it was dropped.
    struct Told(mpsc::Sender<ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    impl SnapshotSource for Told {
        fn applied(&self) -> Applied {
            Applied::default()
        }

        fn again(&self) -> Box<dyn SnapshotSource> {
            Box::new(Self(self.0.clone()))
        }

        fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
            Ok(None)
        }
    }

    impl SnapshotSink for Told {
        fn write(&mut self, _: Bytes) -> Result<(), StateMachineError> {
            Err(StateMachineError::new("the disk is gone"))
        }

        fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
            self
        }
    }

    #[tokio::test]
    async fn what_may_delete_files_is_dropped_on_another_thread() {
        let (sender, dropped) = mpsc::channel();
        let source = source_closed_off_thread(Box::new(Told(sender.clone())), Blocking::Threads);
        let again = source.again();
        drop(source);
        assert_ne!(dropped.recv().unwrap(), thread::current().id());
        drop(again);
        assert_ne!(dropped.recv().unwrap(), thread::current().id());
        let sink = || sink_closed_off_thread(Box::new(Told(sender.clone())), Blocking::Threads);
        drop(sink());
        assert_ne!(dropped.recv().unwrap(), thread::current().id());
        // An installation gets the sink itself, and nothing is left to discard.
        let taken = sink().into_any().downcast::<Told>().unwrap();
        drop(taken);
        assert_eq!(dropped.recv().unwrap(), thread::current().id());
        drop(sender);
        assert!(dropped.recv().is_err(), "dropped twice");
    }

    #[test]
    fn without_a_runtime_it_is_dropped_in_place() {
        let (sender, dropped) = mpsc::channel();
        drop(sink_closed_off_thread(
            Box::new(Told(sender)),
            Blocking::Threads,
        ));
        assert_eq!(dropped.recv().unwrap(), thread::current().id());
    }
}
