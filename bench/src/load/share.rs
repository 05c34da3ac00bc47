//! One thread's part of a load.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    thread,
    time::Duration,
};

use tokio::task::{JoinSet, LocalSet};

use crate::{
    Error, Result,
    arrivals::{Arrivals, Due, pace},
    connection::{Connection, Failure, Frames},
    load::{Client, Options},
    random::Random,
    recorder::{Control, Recorder},
    workload::Workload,
};

/// How long requests in flight may take after the end.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A thread that runs its share.
pub(super) type Running = thread::JoinHandle<Result<Recorder>>;

/// One thread's part of a load.
pub(super) struct Share {
    pub(super) options: Options,
    pub(super) workload: Workload,
    pub(super) control: Arc<Control>,
    pub(super) ready: SyncSender<()>,
    /// Position of the thread.
    pub(super) thread: usize,
    /// Number of threads.
    pub(super) threads: usize,
}

/// Waits for threads and collects what they saw.
pub(super) fn join(running: Vec<Running>) -> Result<Vec<Recorder>> {
    let joined = running.into_iter().map(|thread| {
        let joined = thread.join();
        joined.map_err(|_| Error::Load {
            what: "generator".to_owned(),
            problem: "a thread panicked".to_owned(),
        })?
    });
    joined.collect()
}

impl Share {
    pub(super) fn spawn(self) -> Result<Running> {
        let builder = thread::Builder::new().name(format!("clients-{}", self.thread));
        let spawned = builder.spawn(move || self.run());
        spawned.map_err(Error::io("generator thread"))
    }

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
        let mut tasks = self.start(&connections, &recorder, &due);
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

    /// Starts this thread's clients.
    fn start(
        &self,
        connections: &[Connection],
        recorder: &Rc<RefCell<Recorder>>,
        due: &Rc<Due>,
    ) -> JoinSet<std::result::Result<(), Failure>> {
        let arrivals = match self.options.rate {
            Some(_) => Arrivals::Open(Arc::clone(&self.control), Rc::clone(due)),
            None => Arrivals::Closed(Arc::clone(&self.control)),
        };
        let frames = Rc::new(RefCell::new(Frames::default()));
        let mut tasks = JoinSet::new();
        let mine = (self.thread..self.options.clients_count).step_by(self.threads);
        for (index, connection) in mine.zip(connections.iter().cycle()) {
            let client = Client {
                connection: connection.clone(),
                arrivals: arrivals.clone(),
                recorder: Rc::clone(recorder),
                frames: Rc::clone(&frames),
                control: Arc::clone(&self.control),
                random: Random::new(self.options.seed ^ ((index as u64 + 1) << 32)),
                index,
                clients_count: self.options.clients_count,
                ready: self.ready.clone(),
            };
            tasks.spawn_local(self.workload.clone().drive(client));
        }
        tasks
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
