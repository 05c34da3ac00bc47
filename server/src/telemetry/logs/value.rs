//! Structured field values: JSON that goes into a line as it is.
//!
//! `tracing` records lists and objects as text. A value made by [`json`] carries
//! a mark in front of its text by which the layer knows it; the layer parses it
//! before use, so that text which merely begins like this does no harm.

use std::fmt;

use serde::Serialize;

/// A value that is written as JSON, not as text.
#[derive(Clone)]
pub struct Json(String);

/// Makes a structured field value: `?json(&urls)`.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Json {
    Json(serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()))
}

impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{MARK}{}", self.0)
    }
}

/// The JSON of a recorded text, if it is marked and well-formed.
pub(super) fn recorded_json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str(text.strip_prefix(MARK)?).ok()
}

/// The record separator of ASCII: not part of any text people log.
const MARK: char = '\u{1e}';
