//! A panic is a log line and the end of the process.
//!
//! A server that lost a thread is not a server; what is durable is on disk and
//! a restart recovers it. Exit status 2, as the operators' tooling expects.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;

/// Installs the hook for the whole process.
pub fn exit_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        write_line(info);
        std::process::exit(PANIC_EXIT_STATUS);
    }));
}

fn write_line(info: &PanicHookInfo<'_>) {
    let text = info
        .payload()
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| info.payload().downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned());
    let place = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let thread = std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_owned();
    let stacktrace = Backtrace::force_capture().to_string();
    tracing::error!(severity = "panic", place, thread, stacktrace, "{text}");
}

const PANIC_EXIT_STATUS: i32 = 2;
