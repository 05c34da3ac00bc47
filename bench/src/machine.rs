//! Facts about the machine, without which a figure means nothing.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::Instant,
};

use hdrhistogram::Histogram;

use crate::{Error, Result};

/// Writes measured to say what a durable write costs here.
const SYNCS_COUNT: usize = 200;

/// Longest write told apart, in nanoseconds.
const SYNC_NANOS_MAX: u64 = 60_000_000_000;

/// What a reader needs to judge or repeat a result.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Processor model and number of CPUs.
    pub processor: String,
    /// Installed memory.
    pub memory: String,
    /// Kernel release.
    pub kernel: String,
    /// Load averages when the run began: foreign load spoils latencies.
    pub load: String,
    /// Latency of a 4 KiB write with fdatasync, median and 99th percentile.
    pub sync: String,
    /// Commit of the sources, and whether they were changed since.
    pub commit: String,
}

impl Machine {
    /// Looks around, and writes a small file under the temporary folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn survey() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let model = first_value(&read("/proc/cpuinfo"), "model name");
        let memory_kib: u64 = first_value(&read("/proc/meminfo"), "MemTotal")
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            processor: format!("{model}, {processors} CPUs"),
            memory: format!("{:.1} GiB", memory_kib as f64 / f64::from(1 << 20)),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load(),
            sync: sync_latency()?,
            commit: commit(),
        })
    }
}

/// The load averages of the last 1, 5 and 15 minutes.
#[must_use]
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn first_value(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

/// Overwrites one 4 KiB page of a written file, as a log with segments does.
fn sync_latency() -> Result<String> {
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let path = folder.path().join("sync");
    let histogram = Histogram::<u64>::new_with_bounds(1, SYNC_NANOS_MAX, 3);
    let mut histogram = histogram.expect("the bounds are constants in order");
    measure_syncs(&path, &mut histogram).map_err(Error::io("fdatasync"))?;
    let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(format!(
        "median {:.0} us, 99th percentile {:.0} us",
        micros(0.5),
        micros(0.99)
    ))
}

fn measure_syncs(path: &Path, histogram: &mut Histogram<u64>) -> std::io::Result<()> {
    let page = [7_u8; 4096];
    let mut file = File::create(path)?;
    for _ in 0..SYNCS_COUNT {
        file.write_all(&page)?;
    }
    file.sync_all()?;
    let file = File::options().write(true).open(path)?;
    for _ in 0..SYNCS_COUNT {
        let started = Instant::now();
        (&file).write_all(&page)?;
        file.sync_data()?;
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        histogram.saturating_record(nanos);
    }
    Ok(())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match changed.as_deref() {
        Some("") => commit,
        _ => format!("{commit} and changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_finds_every_fact() {
        let machine = Machine::survey().unwrap();
        assert!(machine.processor.contains("CPUs"));
        assert!(machine.memory.ends_with("GiB") && !machine.memory.starts_with("0.0"));
        assert!(machine.sync.contains("median"));
        assert!(!machine.sync.contains("99th percentile 0 us"));
        assert!(!machine.kernel.is_empty() && !machine.commit.is_empty());
    }

    #[test]
    fn values_are_found_by_name() {
        let text = "MemTotal:   100 kB\nmodel name\t: A B\n";
        assert_eq!(first_value(text, "model name"), "A B");
        assert_eq!(first_value(text, "nothing"), "");
    }
}
