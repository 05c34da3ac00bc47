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
mod table;
mod unit;

#[cfg(test)]
mod tests;

use std::io::Write;

use crate::failure::{Failure, STATUS_ERROR, STATUS_FEATURE};

pub(crate) use quote::{quote, unquote_prefix};
pub(crate) use reply::{Health, Reply, WatchReply};
pub(crate) use unit::duration;

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
        rendered.ok_or_else(|| {
            let name = match self.format {
                Format::Fields => "fields",
                Format::Protobuf => "protobuf",
                _ => "table",
            };
            Failure::new(
                STATUS_FEATURE,
                format!("{name} not supported as output format"),
            )
        })
    }
}

/// Writes to stdout.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(STATUS_ERROR, format!("write to stdout: {error}")))
}
