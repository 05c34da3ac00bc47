//! One watch call: requests in, responses out, no task of its own.
//!
//! The transport polls for responses while the client's window has room; this
//! stream uses the same polls to read requests and to notice its end. Nearly
//! every wake-up is for new events, so everything else is looked at only after
//! its own waker has fired ([`InputSignal`]): delivering an event costs neither
//! a look at the request side nor a timer.
//!
//! A client that closes its side still gets events; one that does not read is
//! not polled, and its watchers fall behind within bounds.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use quoin_proto::etcdserverpb::watch_request::RequestUnion;
use quoin_proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use quoin_proto::raw::WatchResponse;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};

use crate::agreement::Quarantine;
use crate::service::status;
use crate::watch::WatchStream;

use super::service::MakeHeader;
use super::{request, response};

/// Whether the caller may watch from a key to a range end.
pub(super) type Permit = Box<dyn Fn(&[u8], &[u8]) -> Result<(), Status> + Send>;

/// What ends a stream from the server's side.
#[derive(Debug)]
pub(super) struct Ends {
    /// The member is shutting down.
    pub(super) closed: CancellationToken,
    /// The leader was lost; None for a client that does not mind.
    pub(super) leader_lost: Option<CancellationToken>,
    /// The state of this member turned out to be wrong.
    pub(super) quarantine: Quarantine,
}

/// The responses of one call, driven by its requests `R`.
pub(crate) struct ResponseStream<R> {
    watch: WatchStream,
    header: MakeHeader,
    permit: Permit,
    /// None after the client has closed its side.
    requests: Option<R>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    leader_lost: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    quarantined: Pin<Box<dyn Future<Output = Status> + Send>>,
    /// Runs while a watcher wants signs of life.
    ticks: Option<Interval>,
    tick_interval: Duration,
    signal: Arc<InputSignal>,
    /// Requests were left unread because the queue was full.
    is_input_held_back: bool,
    has_ended: bool,
}

/// Remembers that one of the inputs has something, and wakes the stream's task.
#[derive(Debug)]
struct InputSignal {
    is_raised: AtomicBool,
    task: AtomicWaker,
}

async fn quarantined(quarantine: Quarantine) -> Status {
    quarantine.active().await;
    status::quarantined(quarantine.divergence())
}

/// Requests read in one poll, before responses get their turn.
const REQUESTS_PER_POLL: usize = 128;

impl<R> ResponseStream<R>
where
    R: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    pub(super) fn new(
        requests: R,
        watch: WatchStream,
        header: MakeHeader,
        permit: Permit,
        ends: Ends,
        tick_interval: Duration,
    ) -> Self {
        let signal = InputSignal {
            is_raised: AtomicBool::new(true),
            task: AtomicWaker::new(),
        };
        Self {
            watch,
            header,
            permit,
            requests: Some(requests),
            closed: Box::pin(ends.closed.cancelled_owned()),
            leader_lost: ends
                .leader_lost
                .map(|lost| Box::pin(lost.cancelled_owned())),
            quarantined: Box::pin(quarantined(ends.quarantine)),
            ticks: None,
            tick_interval,
            signal: Arc::new(signal),
            is_input_held_back: false,
            has_ended: false,
        }
    }

    /// Looks at every input; ready with the status that ends the stream.
    fn poll_inputs(&mut self) -> Poll<Status> {
        let waker = Waker::from(Arc::clone(&self.signal));
        let mut context = Context::from_waker(&waker);
        if self.closed.as_mut().poll(&mut context).is_ready() {
            return Poll::Ready(status::stopped());
        }
        if let Some(lost) = &mut self.leader_lost
            && lost.as_mut().poll(&mut context).is_ready()
        {
            return Poll::Ready(status::no_leader());
        }
        if let Poll::Ready(status) = self.quarantined.as_mut().poll(&mut context) {
            return Poll::Ready(status);
        }
        if let Poll::Ready(status) = self.poll_requests(&mut context) {
            return Poll::Ready(status);
        }
        self.poll_ticks(&mut context);
        Poll::Pending
    }

    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        self.is_input_held_back = false;
        for _ in 0..REQUESTS_PER_POLL {
            let Some(requests) = &mut self.requests else {
                return Poll::Pending;
            };
            if !self.watch.has_room() {
                self.is_input_held_back = true;
                return Poll::Pending;
            }
            match ready!(Pin::new(requests).poll_next(context)) {
                Some(Ok(request)) => self.handle_request(request),
                Some(Err(error)) => return Poll::Ready(request_error(error)),
                None => self.requests = None,
            }
        }
        // There may be more: come back after some responses.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ticks(&mut self, context: &mut Context<'_>) {
        if !self.watch.wants_ticks() {
            self.ticks = None;
            return;
        }
        let period = self.tick_interval;
        let ticks = self.ticks.get_or_insert_with(|| {
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        while ticks.poll_tick(context).is_ready() {
            self.watch.tick();
        }
    }

    fn handle_request(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(&request),
            Some(RequestUnion::CancelRequest(request)) => self.watch.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.watch.request_progress(),
            None => {}
        }
    }

    fn create(&mut self, request: &WatchCreateRequest) {
        let wish = request::create(request);
        match (self.permit)(wish.range.start(), &request.range_end) {
            Ok(()) => self.watch.create(wish),
            Err(denied) => self.watch.refuse(response::denial(&denied)),
        }
    }
}

impl<R> Stream for ResponseStream<R>
where
    R: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    type Item = Result<WatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        this.signal.task.register(context.waker());
        let may_read = this.is_input_held_back && this.watch.has_room();
        if (this.signal.is_raised.swap(false, Ordering::AcqRel) || may_read)
            && let Poll::Ready(status) = this.poll_inputs()
        {
            this.has_ended = true;
            return Poll::Ready(Some(Err(status)));
        }
        match ready!(this.watch.poll_next(context.waker())) {
            Ok(response) => Poll::Ready(Some(Ok(response::message(response, &this.header)))),
            Err(unreadable) => {
                this.has_ended = true;
                Poll::Ready(Some(Err(status::internal(&unreadable))))
            }
        }
    }
}

impl<R> fmt::Debug for ResponseStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream")
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

impl Wake for InputSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_raised.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// The status for a request side that failed: the client went away, or sent
/// what cannot be read.
fn request_error(error: Status) -> Status {
    if error.code() == Code::Cancelled {
        return status::watch_canceled();
    }
    // tonic words this in its own way; clients of etcd know grpc-go's.
    let too_large = error
        .message()
        .strip_prefix("Error, decoded message length too large: found ");
    let numbers = too_large.and_then(|rest| {
        let (found, rest) = rest.split_once(" bytes, the limit is: ")?;
        let (limit, _) = rest.split_once(' ')?;
        Some((found.parse().ok()?, limit.parse().ok()?))
    });
    match numbers {
        Some((found_bytes, max_bytes)) => status::message_too_large(found_bytes, max_bytes),
        None => error,
    }
}
