//! Moves a run through its phases.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, Result,
    load::{
        DeviceCount, Options, Outcome,
        outcome::Edge,
        share::{self, Share},
    },
    progress::Ticker,
    recorder::{Control, Phase, Recorder},
    workload::Workload,
};

/// How long clients may take to connect and prepare.
const SETUP_MAX: Duration = Duration::from_secs(60);

/// Pause between two looks at a run that ends by itself.
const LOOK: Duration = Duration::from_millis(10);

/// Puts `workload` on a cluster.
///
/// # Errors
/// Clients cannot start, nothing succeeds, or a server process is gone.
pub fn run(options: &Options, workload: &Workload) -> Result<Outcome> {
    let flushed = || {
        options
            .folder
            .as_deref()
            .and_then(DeviceCount::flushed_bytes)
    };
    let written = flushed();
    let control = Arc::new(Control::default());
    let (ready, readiness) = sync_channel(options.clients_count);
    let threads = options.threads_count.clamp(1, options.clients_count.max(1));
    let mut running = Vec::new();
    for thread in 0..threads {
        let share = Share {
            options: options.clone(),
            workload: workload.clone(),
            control: Arc::clone(&control),
            ready: ready.clone(),
            thread,
            threads,
        };
        running.push(share.spawn()?);
    }
    drop(ready);
    wait_ready(&readiness, options.clients_count);
    let measured = measure(options, &control, running)?;
    let mut recorder = Recorder::new();
    measured.parts.iter().for_each(|part| recorder.merge(part));
    if recorder.operations_count == 0 {
        let problem = recorder.first_error;
        return Err(Error::Load {
            what: workload.name().to_owned(),
            problem: problem.unwrap_or_else(|| "no operation completed".to_owned()),
        });
    }
    let Measured { before, after, .. } = measured;
    let device = written.zip(flushed()).map(|(before, after)| DeviceCount {
        bytes: after.saturating_sub(before),
        operations_count: control.completed_count(),
    });
    Ok(Outcome {
        recorder,
        elapsed: after.time.duration_since(before.time),
        servers: before.servers.into_iter().zip(after.servers).collect(),
        has_peaks: measured.has_peaks,
        generator_cpu: after.generator_cpu.saturating_sub(before.generator_cpu),
        device,
    })
}

/// Both edges and what the threads saw between them.
struct Measured {
    before: Edge,
    has_peaks: bool,
    after: Edge,
    parts: Vec<Recorder>,
}

/// Moves through the phases and samples at the edges of the measured one.
fn measure(options: &Options, control: &Control, running: Vec<share::Running>) -> Result<Measured> {
    // What ends by itself counts from its first request.
    if options.duration.is_some() {
        control.enter(Phase::WarmUp);
        thread::sleep(options.warm_up);
    }
    // Even where a server is gone, the clients are stopped first.
    let before = Edge::first(options);
    control.enter(Phase::Measure);
    wait(options.duration, control, &running);
    let after = Edge::now(options);
    control.enter(Phase::Stop);
    let parts = share::join(running)?;
    let ((before, has_peaks), after) = (before?, after?);
    Ok(Measured {
        before,
        has_peaks,
        after,
        parts,
    })
}

/// Waits out the measured time, or until all clients have ended, and says how
/// far a long run is.
fn wait(duration: Option<Duration>, control: &Control, running: &[share::Running]) {
    let started = Instant::now();
    let mut ticker = Ticker::new(duration, control.completed_count());
    loop {
        let pause = match duration {
            Some(duration) => duration.saturating_sub(started.elapsed()),
            None if running.iter().all(share::Running::is_finished) => Duration::ZERO,
            None => LOOK,
        };
        if pause.is_zero() {
            return;
        }
        thread::sleep(pause.min(ticker.until_next()));
        ticker.tick(control.completed_count());
    }
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
