//! Plays steps against one server and says what came of each.
//!
//! A player holds the named streams and saved numbers of one area. Statuses
//! are outcomes, not errors: only a script that makes no sense, or a server
//! that does not answer at all, is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    client::{self, Client, Metadata, Stream},
    expand::{Saved, expand, numbered},
    message,
    normalise::normalise,
    trace::Action,
};
use crate::{Error, Result};

/// Plays one area.
#[derive(Debug)]
pub struct Player {
    client: Client,
    pool: DescriptorPool,
    streams: BTreeMap<String, Open>,
    saved: Saved,
}

/// A stream and its types.
#[derive(Debug)]
struct Open {
    stream: Stream,
    method: MethodDescriptor,
}

impl Player {
    /// A player without streams.
    #[must_use]
    pub fn new(client: Client, pool: DescriptorPool) -> Self {
        Self {
            client,
            pool,
            streams: BTreeMap::new(),
            saved: Saved::new(),
        }
    }

    /// Does one action; the outcome is normalised.
    ///
    /// # Errors
    /// The action makes no sense, or nothing comes in time.
    pub async fn play(&mut self, action: &Action) -> Result<Value> {
        match action {
            Action::Call {
                method,
                request,
                metadata,
                times,
                save,
            } => {
                let mut outcome = Value::Null;
                for index in 0..*times {
                    // A single call's `$i` belongs to `$each`.
                    let many = (*times > 1).then(|| numbered(request, index));
                    let request = many.as_ref().unwrap_or(request);
                    outcome = self.call(method, request, metadata, save.as_ref()).await?;
                }
                Ok(outcome)
            }
            Action::Open {
                stream,
                method,
                metadata,
            } => {
                let method = client::method(&self.pool, method)?;
                let open = Open {
                    stream: self.client.open(&method, metadata)?,
                    method,
                };
                self.streams.insert(stream.clone(), open);
                Ok(Value::Null)
            }
            Action::Send { stream, request } => {
                let request = expand(request, &self.saved);
                let open = self.stream(stream)?;
                let bytes = encode(&open.method.input(), &request)?;
                open.stream.send(bytes).await?;
                Ok(Value::Null)
            }
            Action::Receive { stream, count } => self.receive(stream, *count).await,
            Action::Events { stream, count } => self.events(stream, *count).await,
            Action::HalfClose { stream } => {
                self.stream(stream)?.stream.half_close();
                Ok(Value::Null)
            }
            Action::Drop { stream } => {
                drop(self.streams.remove(stream));
                Ok(Value::Null)
            }
        }
    }

    async fn call(
        &mut self,
        method: &str,
        request: &Value,
        metadata: &Metadata,
        save: Option<&(String, String)>,
    ) -> Result<Value> {
        let method = client::method(&self.pool, method)?;
        let bytes = encode(&method.input(), &expand(request, &self.saved))?;
        let finished = self.client.call(&method, bytes, metadata).await?;
        let mut replies = Vec::new();
        for bytes in finished.messages {
            let reply = decode(&method.output(), bytes)?;
            if let Some((name, field)) = save {
                let number = reply.get(field).and_then(Value::as_i64);
                let missing = || Error::malformed(field, "not in the reply");
                self.saved.insert(name.clone(), number.ok_or_else(missing)?);
            }
            replies.push(normalise(method.output().name(), reply, &self.saved));
        }
        Ok(match (finished.error, method.is_server_streaming()) {
            (Some(status), false) => json!({"error": error(&status)}),
            (Some(status), true) => json!({"messages": replies, "error": error(&status)}),
            (None, true) => json!({"messages": replies}),
            (None, false) => json!({"reply": replies.pop()}),
        })
    }

    async fn receive(&mut self, name: &str, count: usize) -> Result<Value> {
        let saved = self.saved.clone();
        let open = self.stream(name)?;
        let kind = open.method.output();
        let mut messages = Vec::new();
        while messages.len() < count {
            match open.stream.receive().await? {
                None => return Ok(json!({"messages": messages, "end": true})),
                Some(Err(status)) => {
                    return Ok(json!({"messages": messages, "error": error(&status)}));
                }
                Some(Ok(bytes)) => {
                    messages.push(normalise(kind.name(), decode(&kind, bytes)?, &saved));
                }
            }
        }
        Ok(json!({"messages": messages}))
    }

    async fn events(&mut self, name: &str, count: usize) -> Result<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            let outcome = self.receive(name, 1).await?;
            let reply = outcome
                .get("messages")
                .and_then(|messages| messages.get(0))
                .cloned();
            let found = reply.as_ref().and_then(|reply| reply.get("events"));
            match found.and_then(Value::as_array) {
                Some(found) => events.extend(found.iter().cloned()),
                None => return Ok(json!({"events": events, "instead": outcome})),
            }
        }
        Ok(json!({"events": events}))
    }

    fn stream(&mut self, name: &str) -> Result<&mut Open> {
        self.streams
            .get_mut(name)
            .ok_or_else(|| Error::malformed(name, "no such stream"))
    }
}

fn encode(kind: &MessageDescriptor, json: &Value) -> Result<Bytes> {
    Ok(message::from_json(kind, json)?.encode_to_vec().into())
}

fn decode(kind: &MessageDescriptor, bytes: Bytes) -> Result<Value> {
    let message = DynamicMessage::decode(kind.clone(), bytes)
        .map_err(|error| Error::malformed(kind.full_name(), error.to_string()))?;
    Ok(message::to_json(&message))
}

fn error(status: &Status) -> Value {
    json!({"code": format!("{:?}", status.code()), "message": status.message()})
}
