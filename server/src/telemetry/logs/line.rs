//! One event as one line: key order, escaping, the two formats.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use serde_json::Value;
use tracing::field::{Field, Visit};

use super::timestamp::write_utc;
use super::value::recorded_json;
use crate::config::LogFormat;

/// What an event says, taken apart.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) message: String,
    pub(super) logger: String,
    /// Replaces the event's own level.
    pub(super) severity: Option<&'static str>,
    fields: Vec<(String, Value)>,
}

/// What is known of an event besides what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) level: &'static str,
    pub(super) time: SystemTime,
    pub(super) file: &'a str,
    pub(super) line_number: u32,
}

impl Line {
    /// The finished line with its newline.
    pub(super) fn render(&self, format: LogFormat, context: Context<'_>) -> String {
        let mut text = String::with_capacity(256);
        match format {
            LogFormat::Json => self.render_json(context, &mut text),
            LogFormat::Console => self.render_console(context, &mut text),
        }
        text.push('\n');
        text
    }

    fn render_json(&self, context: Context<'_>, text: &mut String) {
        let _ = write!(text, "{{\"level\":\"{}\",\"ts\":\"", context.level);
        write_utc(context.time, text);
        text.push('"');
        if !self.logger.is_empty() {
            text.push_str(",\"logger\":");
            write_json(&Value::from(self.logger.as_str()), text);
        }
        text.push_str(",\"caller\":");
        write_json(&Value::from(caller(context)), text);
        text.push_str(",\"msg\":");
        write_json(&Value::from(self.message.as_str()), text);
        for (name, value) in &self.fields {
            text.push(',');
            write_json(&Value::from(name.as_str()), text);
            text.push(':');
            write_json(value, text);
        }
        text.push('}');
    }

    fn render_console(&self, context: Context<'_>, text: &mut String) {
        write_utc(context.time, text);
        let _ = write!(text, "\t{}\t", context.level);
        if !self.logger.is_empty() {
            let _ = write!(text, "{}\t", self.logger);
        }
        // A line stays a line whatever the message holds.
        let message = self.message.replace('\n', "\\n");
        let _ = write!(text, "{}\t{message}", caller(context));
        if self.fields.is_empty() {
            return;
        }
        text.push_str("\t{");
        for (position, (name, value)) in self.fields.iter().enumerate() {
            text.push_str(if position == 0 { "" } else { ", " });
            write_json(&Value::from(name.as_str()), text);
            text.push_str(": ");
            write_json(value, text);
        }
        text.push('}');
    }

    fn record(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("logger", Value::String(text)) => self.logger = text,
            ("severity", Value::String(text)) => {
                self.severity = SEVERITIES.into_iter().find(|severity| *severity == text);
            }
            ("fields", Value::Object(map)) => self.fields.extend(map),
            (name, value) => self.fields.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record(field, Value::from(value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let value = recorded_json(&text).unwrap_or(Value::String(text));
        self.record(field, value);
    }
}

/// Last directory, file and line.
fn caller(context: Context<'_>) -> String {
    let start = context
        .file
        .rmatch_indices('/')
        .nth(1)
        .map_or(0, |(at, _)| at + 1);
    let short = context.file.get(start..).unwrap_or(context.file);
    format!("{short}:{}", context.line_number)
}

fn write_json(value: &Value, text: &mut String) {
    let _ = write!(text, "{value}");
}

/// Levels beyond those of `tracing`.
const SEVERITIES: [&str; 2] = ["fatal", "panic"];
