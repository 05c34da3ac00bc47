//! Runs the clients of one load and measures everyone who pays for it.
//!
//! Each thread has a single-threaded runtime, its own connections and its
//! share of the clients; threads meet only in the phase they read. The caller's
//! thread moves the phase on and samples every process at the edges of the
//! measured time.

use std::{
    cell::RefCell,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::task::LocalSet;

use crate::{
    Error, Result,
    arrivals::{Arrivals, Due, pace},
    connection::{Connection, Failure, Frames},
    random::Random,
    recorder::{Control, Phase, Recorder},
    usage::{Usage, device_written_bytes},
    workload::Workload,
};

/// How long clients may take to connect and prepare.
const SETUP_MAX: Duration = Duration::from_secs(60);

/// How long requests in flight may take after the end.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How a load is put on a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Client addresses of the members; connections are spread over them.
    pub endpoints: Vec<SocketAddr>,
    /// Clients, each with at most one request in flight.
    pub clients_count: usize,
    /// Connections that the clients share; never more than clients.
    pub connections_count: usize,
    /// Threads of the generator.
    pub threads_count: usize,
    /// Requests per second of all clients; `None` is a closed loop.
    pub rate: Option<f64>,
    /// Time before measuring.
    pub warm_up: Duration,
    /// Measured time; `None` for a workload that ends by itself.
    pub duration: Option<Duration>,
    /// Server processes to sample.
    pub pids: Vec<u32>,
    /// Folder of the servers' data, to sample its device.
    pub folder: Option<PathBuf>,
    /// Start of the random sequences.
    pub seed: u64,
}

/// What a load did and what it cost.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Merged over all clients.
    pub recorder: Recorder,
    /// Measured time.
    pub elapsed: Duration,
    /// Usage of each server process at both edges, in the order of `pids`.
    pub servers: Vec<(Usage, Usage)>,
    /// CPU time of the generator itself.
    pub generator_cpu: Duration,
    /// Bytes written to the device of the data, by anyone.
    pub device_bytes: Option<u64>,
}

/// What is sampled at both edges of the measured time.
struct Edge {
    time: Instant,
    servers: Vec<Usage>,
    generator_cpu: Duration,
    device_bytes: Option<u64>,
}

impl Edge {
    fn now(options: &Options) -> Result<Self> {
        let servers = options.pids.iter().map(|pid| Usage::of(*pid));
        let folder = options.folder.as_deref();
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
            generator_cpu: Usage::own()?.cpu,
            device_bytes: folder.and_then(device_written_bytes),
            time: Instant::now(),
        })
    }
}

/// One client's tools, given to its workload.
#[derive(Debug)]
pub struct Client {
    /// Shared with other clients.
    pub connection: Connection,
    /// Tells when to send.
    pub arrivals: Arrivals,
    /// The thread's recorder.
    pub recorder: Rc<RefCell<Recorder>>,
    /// The thread's message memory.
    pub frames: Rc<RefCell<Frames>>,
    /// The run's phase.
    pub control: Arc<Control>,
    /// Its own randomness.
    pub random: Random,
    /// Position among all clients of the run.
    pub index: usize,
    /// Number of all clients.
    pub clients_count: usize,
    ready: SyncSender<()>,
}

impl Client {
    /// Reports that everything before the first request is done, and waits
    /// until the run begins.
    pub async fn begin(&self) {
        // Fails only when the run was given up.
        let _told = self.ready.send(());
        while self.control.is_setting_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Counts one answered request, if the run is being measured.
    pub fn complete(&self, start: Instant) {
        if self.control.is_measuring() {
            self.recorder.borrow_mut().complete(start);
        }
    }

    /// Counts one failed request; failures count in every phase.
    pub fn fail(&self, failure: &Failure) {
        self.recorder.borrow_mut().fail(failure);
    }
}

/// Puts `workload` on a cluster.
///
/// # Errors
/// Clients cannot start, nothing succeeds, or a server process is gone.
pub fn run(options: &Options, workload: &Workload) -> Result<Outcome> {
    let control = Arc::new(Control::default());
    let (ready, readiness) = sync_channel(options.clients_count);
    let threads = options.threads_count.clamp(1, options.clients_count.max(1));
    let mut running = Vec::new();
    for thread in 0..threads {
        let (options, workload) = (options.clone(), workload.clone());
        let (control, ready) = (Arc::clone(&control), ready.clone());
        let name = format!("clients-{thread}");
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let share = Share {
                options,
                workload,
                control,
                ready,
                thread,
                threads,
            };
            share.run()
        });
        running.push(spawned.map_err(Error::io("generator thread"))?);
    }
    drop(ready);
    wait_ready(&readiness, options.clients_count);
    let (before, after, recorders) = measure(options, &control, running)?;
    let mut recorder = Recorder::new();
    recorders.iter().for_each(|part| recorder.merge(part));
    if recorder.operations_count == 0 {
        let problem = recorder.first_error;
        return Err(Error::Load {
            what: workload.name().to_owned(),
            problem: problem.unwrap_or_else(|| "no operation completed".to_owned()),
        });
    }
    let device = before.device_bytes.zip(after.device_bytes);
    Ok(Outcome {
        recorder,
        elapsed: after.time.duration_since(before.time),
        servers: before.servers.into_iter().zip(after.servers).collect(),
        generator_cpu: after.generator_cpu.saturating_sub(before.generator_cpu),
        device_bytes: device.map(|(before, after)| after.saturating_sub(before)),
    })
}

type Running = thread::JoinHandle<Result<Recorder>>;

/// Moves through the phases and samples at the edges of the measured one.
fn measure(
    options: &Options,
    control: &Control,
    running: Vec<Running>,
) -> Result<(Edge, Edge, Vec<Recorder>)> {
    control.enter(Phase::WarmUp);
    if options.duration.is_some() {
        thread::sleep(options.warm_up);
    }
    let before = Edge::now(options);
    control.enter(Phase::Measure);
    let Some(duration) = options.duration else {
        let recorders = join(running)?;
        return Ok((before?, Edge::now(options)?, recorders));
    };
    thread::sleep(duration);
    let after = Edge::now(options);
    control.enter(Phase::Stop);
    let recorders = join(running)?;
    Ok((before?, after?, recorders))
}

fn join(running: Vec<Running>) -> Result<Vec<Recorder>> {
    let joined = running.into_iter().map(|thread| {
        let joined = thread.join();
        joined.map_err(|_| Error::Load {
            what: "generator".to_owned(),
            problem: "a thread panicked".to_owned(),
        })?
    });
    joined.collect()
}

/// Waits for every client, or for what remains after those that failed.
fn wait_ready(readiness: &Receiver<()>, clients_count: usize) {
    let started = Instant::now();
    for _ in 0..clients_count {
        let left = SETUP_MAX.saturating_sub(started.elapsed());
        if readiness.recv_timeout(left).is_err() {
            return;
        }
    }
}

/// One thread's part of the load.
struct Share {
    options: Options,
    workload: Workload,
    control: Arc<Control>,
    ready: SyncSender<()>,
    thread: usize,
    threads: usize,
}

impl Share {
    fn run(self) -> Result<Recorder> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(Error::io("runtime"))?;
        let recorder = Rc::new(RefCell::new(Recorder::new()));
        let local = LocalSet::new();
        runtime.block_on(local.run_until(self.clients(Rc::clone(&recorder))));
        Ok(recorder.take())
    }

    async fn clients(self, recorder: Rc<RefCell<Recorder>>) {
        let connections = match self.connect().await {
            Ok(connections) => connections,
            Err(failure) => return recorder.borrow_mut().fail(failure),
        };
        let due = Rc::new(Due::default());
        let arrivals = match self.options.rate {
            Some(_) => Arrivals::Open(Arc::clone(&self.control), Rc::clone(&due)),
            None => Arrivals::Closed(Arc::clone(&self.control)),
        };
        let frames = Rc::new(RefCell::new(Frames::default()));
        let mut tasks = tokio::task::JoinSet::new();
        let mine = (self.thread..self.options.clients_count).step_by(self.threads);
        for (position, index) in mine.enumerate() {
            let connection = connections.get(position % connections.len().max(1));
            let Some(connection) = connection.cloned() else {
                continue;
            };
            let seed = self.options.seed ^ ((index as u64 + 1) << 32);
            let client = Client {
                connection,
                arrivals: arrivals.clone(),
                recorder: Rc::clone(&recorder),
                frames: Rc::clone(&frames),
                control: Arc::clone(&self.control),
                random: Random::new(seed),
                index,
                clients_count: self.options.clients_count,
                ready: self.ready.clone(),
            };
            tasks.spawn_local(self.workload.clone().drive(client));
        }
        let finished = async {
            while let Some(ended) = tasks.join_next().await {
                if let Ok(Err(failure)) = ended {
                    recorder.borrow_mut().fail(failure);
                    // It may have ended before it was ready; nobody waits for
                    // it then. There is room unless everyone was.
                    let _told = self.ready.try_send(());
                }
            }
        };
        let paced = async {
            while self.control.is_setting_up() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if let Some(rate) = self.options.rate {
                let rate = rate / self.threads as f64;
                pace(rate, &self.control, &due, &recorder).await;
            }
        };
        let give_up = async {
            while !self.control.is_stopped() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(finished, paced) } => {}
            () = give_up => recorder.borrow_mut().fail("requests unanswered at the end"),
        }
    }

    /// This thread's connections, spread over the members.
    async fn connect(&self) -> std::result::Result<Vec<Connection>, Failure> {
        let options = &self.options;
        let count = options.connections_count.clamp(1, options.clients_count);
        let mut connections = Vec::new();
        for number in (self.thread..count.max(self.threads)).step_by(self.threads) {
            let member = number % options.endpoints.len().max(1);
            let Some(endpoint) = options.endpoints.get(member) else {
                return Err(Failure::Transport("no endpoint".to_owned()));
            };
            connections.push(Connection::open(*endpoint).await?);
        }
        Ok(connections)
    }
}
