//! Printing replies.
//!
//! A [`Reply`] is what a command got; a [`Printer`] turns it into the bytes of
//! one output format. Printers write to a buffer and do nothing else, so every
//! format is tested on given replies. The formats are etcdctl's to the byte,
//! because scripts read them. Source: observed, etcdctl 3.7.

mod fields;
mod json;
mod protobuf;
mod quote;
mod reply;
mod simple;
mod survivors;
mod table;
mod unit;

#[cfg(test)]
mod tests;

use std::io::Write;

use quoin_server::offline::Plan;

use crate::failure::{Failure, STATUS_ERROR, STATUS_FEATURE};

pub(crate) use quote::{quote, unquote_prefix};
pub(crate) use reply::{Health, Reply, WatchReply};
pub(crate) use unit::{duration, size};

/// Value of `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Fields,
    Json,
    Protobuf,
    Simple,
    Table,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    /// Byte strings (simple) and ids (others) in hexadecimal.
    pub(crate) hex: bool,
    /// Without keys, in simple output.
    pub(crate) value_only: bool,
}

impl Printer {
    /// Prints to stdout.
    pub(crate) fn print(self, reply: &Reply) -> Result<(), Failure> {
        write(&self.render(reply)?)
    }

    /// The bytes to print.
    pub(crate) fn render(self, reply: &Reply) -> Result<Vec<u8>, Failure> {
        let rendered = match self.format {
            Format::Simple => Some(simple::render(self, reply)),
            Format::Json => Some(json::render(self.hex, reply)),
            Format::Fields => fields::render(self.hex, reply),
            Format::Protobuf => protobuf::render(reply),
            Format::Table => table::render(reply),
        };
        rendered.ok_or_else(|| self.unsupported())
    }

    /// Prints what survived of a cluster.
    pub(crate) fn print_plan(self, plan: &Plan) -> Result<(), Failure> {
        let rendered = match self.format {
            Format::Simple | Format::Table => survivors::render_table(plan),
            Format::Json => survivors::render_json(plan),
            Format::Fields | Format::Protobuf => return Err(self.unsupported()),
        };
        write(rendered.as_bytes())
    }

    fn unsupported(self) -> Failure {
        let name = match self.format {
            Format::Fields => "fields",
            Format::Protobuf => "protobuf",
            _ => "table",
        };
        let text = format!("{name} not supported as output format");
        Failure::new(STATUS_FEATURE, text)
    }
}

/// Writes to stdout.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(STATUS_ERROR, format!("write to stdout: {error}")))
}
