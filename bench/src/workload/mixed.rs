//! What an API server of Kubernetes asks of its store, in one load.
//!
//! Some clients watch all objects with the pair before each change. The others
//! draw each request by lot: update an object if its mod_revision is the one
//! last seen, read one, read the next page of a list at the revision of its
//! first page, or create an event under a lease. An operation is one request;
//! its rows are the events that watchers received.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, compare,
        request_op,
    },
    mvccpb::KeyValue,
    raw::RangeResponse,
};

use crate::{
    connection::{Call, Failure, Frames},
    load::Client,
    random::{Random, Values},
    workload::{
        keys::{Keys, Prefix},
        lease,
        txn::Txns,
        unary::{self, Requests},
        watch, watcher,
    },
};

/// Objects of one page of a list: what clients of Kubernetes ask for.
const PAGE_ROWS_COUNT: i64 = 500;

/// Time to live of events, in seconds: an hour, as there.
const EVENT_SECONDS: i64 = 3_600;

/// Start of the values' randomness: the same in every run.
const VALUES_SEED: u64 = 0x6b75;

/// Requests and the share of each, in percent.
const SHARES: [(Request, u64); 4] = [
    (Request::Update, 45),
    (Request::Read, 20),
    (Request::Page, 15),
    (Request::Event, 20),
];

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Put an object if its mod_revision is the one last seen, else read it.
    Update,
    /// Read one object.
    Read,
    /// Read the next objects of the list.
    Page,
    /// Create an event under the client's lease.
    Event,
}

/// Watchers and clients that read and write.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// Clients that watch, each on its own stream; the others send requests.
    watchers_count: usize,
    objects: Keys,
    /// Not started; every client starts a copy.
    updates: Txns,
    /// Of events.
    values: Values,
}

impl Mixed {
    /// A load on `objects`, which were written before.
    #[must_use]
    pub fn new(watchers_count: usize, objects: Keys, value_bytes: usize) -> Self {
        Self {
            watchers_count,
            objects,
            updates: Txns::new(objects, value_bytes),
            values: Values::new(value_bytes, VALUES_SEED),
        }
    }

    /// One client's life.
    pub(super) async fn drive(self, mut client: Client) -> Result<(), Failure> {
        if client.index < self.watchers_count {
            return self.watch(client).await;
        }
        let lease = lease::grant(&mut client, EVENT_SECONDS).await?;
        let mut updates = self.updates.clone();
        updates.start(&client);
        self.learn(&mut client, &mut updates).await?;
        let requests = Drawn {
            current: Request::Read,
            objects: self.objects,
            updates,
            list: List::new(self.objects.prefix),
            lease,
            values: self.values,
        };
        unary::drive(client, requests).await
    }

    /// Lists all objects, as an informer does, so that updates succeed from the
    /// first one on.
    async fn learn(&self, client: &mut Client, updates: &mut Txns) -> Result<(), Failure> {
        let (key, range_end) = self.objects.prefix.range();
        let request = RangeRequest {
            key,
            range_end,
            keys_only: true,
            ..RangeRequest::default()
        };
        let frame = client.frames.borrow_mut().frame(&request);
        let reply = client.connection.unary(Call::Range, frame).await?;
        let malformed = |error: prost::DecodeError| Failure::Transport(error.to_string());
        let list = RangeResponse::decode(reply).map_err(malformed)?;
        for pair in list.kvs {
            let pair = KeyValue::decode(pair).map_err(malformed)?;
            updates.learn(&pair.key, pair.mod_revision);
        }
        Ok(())
    }

    async fn watch(self, mut client: Client) -> Result<(), Failure> {
        let (key, range_end) = self.objects.prefix.range();
        let create = WatchCreateRequest {
            key,
            range_end,
            prev_kv: true,
            progress_notify: true,
            ..WatchCreateRequest::default()
        };
        let mut stream = client.connection.stream(Call::Watch).await?;
        watcher::create(&client, &mut stream, create).await?;
        client.begin().await;
        watch::deliver(&client, &mut stream, |_| {
            client.recorder.borrow_mut().rows_count += 1;
        })
        .await
    }
}

/// Requests of one client, drawn by lot.
struct Drawn {
    /// The request under way.
    current: Request,
    objects: Keys,
    updates: Txns,
    list: List,
    /// Lease of this client's events.
    lease: i64,
    values: Values,
}

impl Drawn {
    /// A new event, and no change to one of that name that is there.
    fn event(&self, frames: &mut Frames, random: &mut Random) -> Bytes {
        let key = frames.bytes(&Prefix::Event.name(random.next_u64()));
        let put = request_op::Request::RequestPut(PutRequest {
            key: key.clone(),
            value: self.values.value(random),
            lease: self.lease,
            ..PutRequest::default()
        });
        frames.frame(&TxnRequest {
            compare: vec![Compare {
                result: compare::CompareResult::Equal as i32,
                target: compare::CompareTarget::Mod as i32,
                key,
                range_end: Bytes::new(),
                target_union: Some(compare::TargetUnion::ModRevision(0)),
            }],
            success: vec![RequestOp { request: Some(put) }],
            failure: Vec::new(),
        })
    }
}

impl Requests for Drawn {
    fn start(&mut self, client: &Client) {
        self.updates.start(client);
    }

    fn call(&self) -> Call {
        match self.current {
            Request::Update | Request::Event => Call::Txn,
            Request::Read | Request::Page => Call::Range,
        }
    }

    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes> {
        self.current = drawn(random);
        match self.current {
            Request::Update => self.updates.next(frames, random),
            Request::Read => {
                let key = frames.bytes(&self.objects.random(random));
                Some(frames.frame(&RangeRequest {
                    key,
                    ..RangeRequest::default()
                }))
            }
            Request::Page => Some(frames.frame(&self.list.request())),
            Request::Event => Some(self.event(frames, random)),
        }
    }

    fn reply(&mut self, message: Bytes) {
        match self.current {
            Request::Update => self.updates.reply(message),
            Request::Page => self.list.reply(message),
            Request::Read | Request::Event => {}
        }
    }
}

fn drawn(random: &mut Random) -> Request {
    let mut lot = random.below(SHARES.iter().map(|(_, share)| share).sum());
    for (request, share) in SHARES {
        if lot < share {
            return request;
        }
        lot -= share;
    }
    Request::Read
}

/// A list read page by page, again and again.
#[derive(Debug)]
struct List {
    prefix: Prefix,
    /// Where the next page begins.
    start: Bytes,
    /// Revision of the first page; 0 before it.
    revision: i64,
}

impl List {
    const fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            start: Bytes::from_static(prefix.bytes()),
            revision: 0,
        }
    }

    fn request(&self) -> RangeRequest {
        RangeRequest {
            key: self.start.clone(),
            range_end: self.prefix.range().1,
            limit: PAGE_ROWS_COUNT,
            revision: self.revision,
            ..RangeRequest::default()
        }
    }

    /// Goes on behind the last row, or begins anew after the last page.
    fn reply(&mut self, message: Bytes) {
        let next = next_page(message).map(|(start, revision)| Self {
            prefix: self.prefix,
            start,
            revision: if self.revision == 0 {
                revision
            } else {
                self.revision
            },
        });
        *self = next.unwrap_or(Self::new(self.prefix));
    }
}

/// Start of the page after this one and the revision it was read at; `None`
/// after the last.
fn next_page(message: Bytes) -> Option<(Bytes, i64)> {
    let page = RangeResponse::decode(message).ok()?;
    let last = KeyValue::decode(page.kvs.last()?.clone()).ok()?;
    let mut start = BytesMut::from(&last.key[..]);
    start.put_u8(0);
    let revision = page.header?.revision;
    page.more.then(|| (start.freeze(), revision))
}

#[cfg(test)]
mod tests {
    use quoin_proto::etcdserverpb::ResponseHeader;

    use super::*;

    fn page(key: &'static str, revision: i64, more: bool) -> Bytes {
        let pair = KeyValue {
            key: key.into(),
            ..KeyValue::default()
        };
        let page = RangeResponse {
            header: Some(ResponseHeader {
                revision,
                ..ResponseHeader::default()
            }),
            kvs: vec![pair.encode_to_vec().into()],
            more,
            count: 2,
        };
        page.encode_to_vec().into()
    }

    #[test]
    fn a_list_is_read_at_the_revision_of_its_first_page() {
        let mut list = List::new(Prefix::Object);
        assert_eq!(list.request().revision, 0);
        list.reply(page("items/1", 5, true));
        list.reply(page("items/2", 9, true));
        let request = list.request();
        assert_eq!((request.revision, &request.key[..]), (5, &b"items/2\0"[..]));
        list.reply(page("items/3", 9, false));
        assert_eq!(list.request(), List::new(Prefix::Object).request());
    }

    #[test]
    fn every_kind_is_drawn_about_as_often_as_its_share() {
        let mut random = Random::new(2);
        let lots: Vec<Request> = (0..10_000).map(|_| drawn(&mut random)).collect();
        for (request, share) in SHARES {
            let count = lots.iter().filter(|lot| **lot == request).count() as u64;
            assert!(count.abs_diff(share * 100) < 300, "{request:?} {count}");
        }
    }
}
