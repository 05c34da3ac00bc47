//! The threads of the process: name, state, CPU time.
//!
//! Read from `/proc/self/task`; empty where the system has none.

use std::fs;
use std::time::Duration;

/// One thread as the kernel counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    /// The kernel's id.
    pub(crate) id: u64,
    /// Its name; the kernel keeps 15 bytes of it.
    pub(crate) name: String,
    /// One letter: R runs, S waits, D waits for a disk.
    pub(crate) state: char,
    /// CPU time in its own code.
    pub(crate) user: Duration,
    /// CPU time in the kernel.
    pub(crate) system: Duration,
}

/// All threads, those that used most CPU first.
pub(crate) fn threads() -> Vec<ThreadUsage> {
    let Ok(directory) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    // A thread may end between the listing and the reading.
    let mut threads: Vec<_> = directory
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|stat| parse(&stat, ticks_per_second))
        .collect();
    threads.sort_by_key(|thread| (std::cmp::Reverse(thread.user + thread.system), thread.id));
    threads
}

/// `<id> (<name>) <state> ...`; the name may hold anything, so the last
/// parenthesis ends it. Fields are numbered from after it.
fn parse(stat: &str, ticks_per_second: u64) -> Option<ThreadUsage> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let time = |index: usize| {
        let ticks: u64 = fields.get(index)?.parse().ok()?;
        let milliseconds = ticks.checked_mul(1000)?.checked_div(ticks_per_second)?;
        Some(Duration::from_millis(milliseconds))
    };
    Some(ThreadUsage {
        id: id.parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        user: time(11)?,
        system: time(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "12 (a) (b ) S 1 12 12 0 -1 64 1 0 0 0 250 30 0 0 20 0 9 0 99";
        let thread = parse(stat, 100).unwrap();
        assert_eq!(
            (thread.id, &*thread.name, thread.state),
            (12, "a) (b ", 'S')
        );
        assert_eq!(thread.user, Duration::from_millis(2500));
        assert_eq!(thread.system, Duration::from_millis(300));
        assert_eq!(parse("12 (a) S 1", 100), None);
    }

    #[test]
    fn this_thread_is_among_them() {
        let named = std::thread::Builder::new().name("found-by-name".into());
        let names = named.spawn(|| threads().into_iter().map(|thread| thread.name));
        let names: Vec<_> = names.unwrap().join().unwrap().collect();
        assert!(
            names.iter().any(|name| name == "found-by-name"),
            "{names:?}"
        );
    }
}
