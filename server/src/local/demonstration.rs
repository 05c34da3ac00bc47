//! What a newcomer is shown: a write, a read and a watch on three members.

use std::time::{Duration, Instant};

use quoin_proto::etcdserverpb::kv_client::KvClient;
use quoin_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quoin_proto::etcdserverpb::watch_client::WatchClient;
use quoin_proto::etcdserverpb::watch_request::RequestUnion;
use quoin_proto::etcdserverpb::{
    PutRequest, RangeRequest, StatusRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::LocalError;
use super::arguments::Arguments;
use super::paint::Paint;
use super::settings::{MemberPlan, Plan};

/// Clients of one member over one connection.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
}

impl Clients {
    /// Connects when first used.
    pub(crate) fn to(url: &str) -> Result<Self, LocalError> {
        let channel = Endpoint::from_shared(url.to_owned())
            .map_err(|error| LocalError(format!("{url}: {error}")))?
            .connect_timeout(Duration::from_secs(1))
            .connect_lazy();
        Ok(Self {
            kv: KvClient::new(channel.clone()),
            watch: WatchClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        })
    }
}

/// Whether the member answers a read that needs the quorum.
pub(crate) async fn answers(clients: &Clients) -> bool {
    let request = RangeRequest {
        key: KEY.into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let mut kv = clients.kv.clone();
    let call = tokio::time::timeout(CALL_PATIENCE, kv.range(request));
    matches!(call.await, Ok(Ok(_)))
}

/// What is being started.
pub(crate) fn starting_text(plan: &Plan, arguments: &Arguments, paint: Paint) -> String {
    let count = plan.members.len();
    let directory = arguments.directory.display();
    let noun = if count == 1 { "member" } else { "members" };
    let mut text = format!(
        "\n  {}  {count} {noun} in {directory}\n\n",
        paint.bold("quoin local")
    );
    for member in &plan.members {
        let MemberPlan {
            name,
            client_url,
            peer_url,
            log_file,
            ..
        } = member;
        let log = paint.dim(log_file.display());
        text += &format!(
            "  {}  clients {client_url}  peers {peer_url}  {log}\n",
            paint.cyan(name)
        );
    }
    text
}

/// Runs the demonstration, saying each step.
pub(crate) async fn show(
    plan: &Plan,
    paint: Paint,
    say: &mut dyn FnMut(&str),
) -> Result<(), LocalError> {
    let member = |at: usize| plan.members.get(at % plan.members.len());
    let (Some(writer), Some(reader), Some(watcher)) = (member(0), member(1), member(2)) else {
        return Err(LocalError("a cluster needs a member".to_owned()));
    };
    let steps = Steps {
        paint,
        writer,
        reader,
        watcher,
    };
    let failed = |status: Status| {
        LocalError(format!(
            "the demonstration failed: {} ({:?})",
            status.message(),
            status.code()
        ))
    };
    steps.show_leader(plan, say).await.map_err(failed)?;
    steps.show_write_read_watch(say).await.map_err(failed)?;
    steps.show_latency(say).await.map_err(failed)
}

/// What to do next.
pub(crate) fn next_text(plan: &Plan, paint: Paint) -> String {
    let endpoints = plan.endpoints();
    let comment = |text: &str| paint.dim(text);
    format!(
        "\n  {}\n\n    export ETCDCTL_ENDPOINTS={endpoints}\n\n    \
         quoinctl --endpoints={endpoints} put hello world\n    \
         etcdctl put hello world        {}\n    \
         etcdctl watch --prefix ''      {}\n    \
         etcdctl endpoint status -w table\n\n  {}\n",
        paint.bold("Try next"),
        comment("# etcd's own client works too"),
        comment("# in another terminal"),
        comment("Ctrl-C stops all members. The data stays; starting again continues with it."),
    )
}

struct Steps<'a> {
    paint: Paint,
    writer: &'a MemberPlan,
    reader: &'a MemberPlan,
    watcher: &'a MemberPlan,
}

impl Steps<'_> {
    async fn show_leader(&self, plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<(), Status> {
        for member in &plan.members {
            let mut clients = clients(member)?;
            let status = clients
                .maintenance
                .status(StatusRequest::default())
                .await?
                .into_inner();
            let own_id = status.header.as_ref().map_or(0, |header| header.member_id);
            if own_id == status.leader {
                let (name, term) = (self.paint.cyan(&member.name), status.raft_term);
                say(&format!("  leader is {name} ({own_id:x}), term {term}\n\n"));
                return Ok(());
            }
        }
        say("  the leadership is moving just now\n\n");
        Ok(())
    }

    async fn show_write_read_watch(&self, say: &mut dyn FnMut(&str)) -> Result<(), Status> {
        let (mut writer, mut reader) = (clients(self.writer)?, clients(self.reader)?);
        // What is measured below is a request, not the making of a connection.
        reader
            .kv
            .range(RangeRequest {
                key: KEY.into(),
                ..RangeRequest::default()
            })
            .await?;
        let before = writer.kv.range(RangeRequest {
            key: KEY.into(),
            ..RangeRequest::default()
        });
        let before = before.await?.into_inner();
        if let Some(kept) = before.kvs.first() {
            let value = String::from_utf8_lossy(&kept.value).into_owned();
            self.line(
                say,
                "kept",
                self.writer,
                &format!("{KEY} = {value}"),
                "from an earlier run",
            );
        }
        let mut events = self.open_watch().await?;
        self.line(say, "watch", self.watcher, KEY, "open");

        let version = before.kvs.first().map_or(1, |kv| kv.version + 1);
        let value = format!("hello no. {version}");
        let put = PutRequest {
            key: KEY.into(),
            value: value.clone().into(),
            ..PutRequest::default()
        };
        let began = Instant::now();
        let reply = writer.kv.put(put).await?.into_inner();
        let put_took = began.elapsed();
        let revision = reply.header.map_or(0, |header| header.revision);
        let note = format!("{}  revision {revision}", self.took(put_took));
        self.line(say, "put", self.writer, &format!("{KEY} = {value}"), &note);

        let arrived = next_events(&mut events).await?;
        let event_took = began.elapsed();
        let seen = arrived.events.first().and_then(|event| event.kv.as_ref());
        let seen = seen.map_or_else(String::new, |kv| {
            String::from_utf8_lossy(&kv.value).into_owned()
        });
        let note = format!("{}  after the put began", self.took(event_took));
        self.line(
            say,
            "event",
            self.watcher,
            &format!("PUT {KEY} = {seen}"),
            &note,
        );

        let began = Instant::now();
        let read = reader.kv.range(RangeRequest {
            key: KEY.into(),
            ..RangeRequest::default()
        });
        let read = read.await?.into_inner();
        let note = format!("{}  linearizable", self.took(began.elapsed()));
        let value = read
            .kvs
            .first()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        let value = value.unwrap_or_else(|| "nothing".to_owned());
        self.line(say, "get", self.reader, &format!("{KEY} -> {value}"), &note);
        Ok(())
    }

    async fn show_latency(&self, say: &mut dyn FnMut(&str)) -> Result<(), Status> {
        let mut writer = clients(self.writer)?;
        writer
            .kv
            .range(RangeRequest {
                key: KEY.into(),
                ..RangeRequest::default()
            })
            .await?;
        let mut times = Vec::with_capacity(LATENCY_SAMPLES_COUNT);
        for number in 0..LATENCY_SAMPLES_COUNT {
            let key = format!("{KEY}/{number}").into();
            let put = PutRequest {
                key,
                value: "x".into(),
                ..PutRequest::default()
            };
            let began = Instant::now();
            writer.kv.put(put).await?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get(times.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        let what = format!("{LATENCY_SAMPLES_COUNT} more, one by one");
        let note = format!("{} median, {} p99", self.took(at(50)), self.took(at(99)));
        self.line(say, "put", self.writer, &what, &note);
        Ok(())
    }

    async fn open_watch(&self) -> Result<Streaming<WatchResponse>, Status> {
        let create = WatchCreateRequest {
            key: KEY.into(),
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender
            .send(request)
            .await
            .map_err(|_| Status::internal("the request stream is closed"))?;
        // The stream of requests stays open as long as its sender lives.
        let requests = KeepOpen {
            requests: ReceiverStream::new(receiver),
            _sender: sender,
        };
        let mut stream = clients(self.watcher)?
            .watch
            .watch(requests)
            .await?
            .into_inner();
        loop {
            let reply = stream.message().await?;
            let reply = reply.ok_or_else(|| Status::unavailable("the watch ended"))?;
            if reply.created {
                return Ok(stream);
            }
        }
    }

    fn line(
        &self,
        say: &mut dyn FnMut(&str),
        verb: &str,
        member: &MemberPlan,
        what: &str,
        note: &str,
    ) {
        let name = self.paint.cyan(&member.name);
        say(&format!("  {verb:<6} on {name}  {what:<36} {note}\n"));
    }

    fn took(&self, time: Duration) -> String {
        self.paint
            .green(format!("{:>6.2} ms", time.as_secs_f64() * 1000.0))
    }
}

/// A request stream that does not end after its last request.
struct KeepOpen {
    requests: ReceiverStream<WatchRequest>,
    _sender: tokio::sync::mpsc::Sender<WatchRequest>,
}

impl tokio_stream::Stream for KeepOpen {
    type Item = WatchRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchRequest>> {
        std::pin::Pin::new(&mut self.requests).poll_next(context)
    }
}

fn clients(member: &MemberPlan) -> Result<Clients, Status> {
    Clients::to(&member.client_url).map_err(|error| Status::internal(error.to_string()))
}

async fn next_events(events: &mut Streaming<WatchResponse>) -> Result<WatchResponse, Status> {
    let next = async {
        loop {
            let reply = events.message().await?;
            let reply = reply.ok_or_else(|| Status::unavailable("the watch ended"))?;
            if !reply.events.is_empty() {
                return Ok(reply);
            }
        }
    };
    match tokio::time::timeout(CALL_PATIENCE, next).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded("no event arrived")),
    }
}

/// The key the demonstration uses.
const KEY: &str = "quoin/hello";
const CALL_PATIENCE: Duration = Duration::from_secs(10);
const LATENCY_SAMPLES_COUNT: usize = 100;
