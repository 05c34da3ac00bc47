//! Log lines in etcd's format, written from `tracing` events.
//!
//! An event is one line: its message is `msg`, its fields follow in call order
//! under their own names (`"member-id" = %id`), its place in the source is
//! `caller`. Three field names are special: `logger` names a sub-logger,
//! `severity` raises the level to `fatal` or `panic`, and `fields` holds a
//! [`json`] object whose entries become fields (an event cannot have more than
//! 32 of its own). Events of foreign crates appear from warnings on, never as
//! errors: what is an error for the server is said by the server.

mod budget;
mod layer;
mod line;
mod output;
mod panic;
mod sampling;
mod timestamp;
mod value;

pub(crate) use budget::LineBudget;
pub use layer::{LogLayer, init, init_default};
pub use panic::exit_on_panic;
pub use timestamp::utc;
pub use value::{Json, json};

use crate::config::{Notice, NoticeLevel};

/// Writes a line collected while the configuration was read.
pub fn write_notice(notice: &Notice) {
    let fields = notice_fields(notice);
    match notice.level {
        NoticeLevel::Info => tracing::info!(fields = ?fields, "{}", notice.message),
        NoticeLevel::Warn => tracing::warn!(fields = ?fields, "{}", notice.message),
    }
}

/// Writes a line of level `fatal`; the caller exits with status 1.
pub fn write_fatal(notice: &Notice) {
    let fields = notice_fields(notice);
    tracing::error!(severity = "fatal", fields = ?fields, "{}", notice.message);
}

fn notice_fields(notice: &Notice) -> Json {
    let fields = notice
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()));
    json(&serde_json::Value::Object(fields.collect()))
}
