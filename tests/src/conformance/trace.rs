//! A recorded area: its calls and what the reference server answered.
//!
//! Stored as JSON with two lines per step, so that a change of one answer is
//! one changed line.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Metadata;
use crate::{Error, Result};

/// One area, played against a fresh server of one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Name of the area, as of its file.
    pub area: String,
    /// The server that was recorded.
    pub recorded: String,
    /// Flags the server needs beyond addresses.
    pub server: Vec<String>,
    /// Steps in the order in which they are played.
    pub steps: Vec<Step>,
}

/// One action and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The rule that is shown, with its section in the specification.
    pub rule: String,
    /// What is done.
    pub action: Action,
    /// What came of it; null before recording.
    pub outcome: Value,
}

/// Something a client does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A unary or server-streaming call.
    Call {
        /// Short name, for example `KV.Range`.
        method: String,
        /// The request, with shorthands.
        request: Value,
        /// Metadata sent along.
        #[serde(default, skip_serializing_if = "Metadata::is_empty")]
        metadata: Metadata,
        /// How often; `$i` counts. Only the last outcome is kept.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
        /// A number of the reply to save: name and field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        save: Option<(String, String)>,
    },
    /// Opens a bidirectional stream under a name.
    Open {
        /// The name.
        stream: String,
        /// Short name of the method.
        method: String,
        /// Metadata sent along.
        #[serde(default, skip_serializing_if = "Metadata::is_empty")]
        metadata: Metadata,
    },
    /// Sends one message.
    Send {
        /// Name of the stream.
        stream: String,
        /// The message, with shorthands.
        request: Value,
    },
    /// Receives messages, each compared as it is.
    Receive {
        /// Name of the stream.
        stream: String,
        /// How many messages.
        count: usize,
    },
    /// Receives messages until they hold this many events; compares only the
    /// events, because their grouping depends on time.
    Events {
        /// Name of the stream.
        stream: String,
        /// How many events.
        count: usize,
    },
    /// Half-closes a stream.
    HalfClose {
        /// Name of the stream.
        stream: String,
    },
    /// Cancels a stream.
    Drop {
        /// Name of the stream.
        stream: String,
    },
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// The file cannot be read or is no trace.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
        serde_json::from_str(&text).map_err(|error| Error::malformed(path, error.to_string()))
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{{\n\"area\": {},\n\"recorded\": {},\n\"server\": {},\n\"steps\": [\n",
            json!(self.area),
            json!(self.recorded),
            json!(self.server),
        );
        for (position, step) in self.steps.iter().enumerate() {
            let comma = if position + 1 < self.steps.len() {
                ","
            } else {
                ""
            };
            text.push_str(&format!(
                "{{\"rule\": {},\n  \"action\": {},\n  \"outcome\": {}}}{comma}\n",
                json!(step.rule),
                json!(step.action),
                step.outcome,
            ));
        }
        text.push_str("]\n}\n");
        text
    }
}

fn once() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
fn is_once(times: &u64) -> bool {
    *times == 1
}
