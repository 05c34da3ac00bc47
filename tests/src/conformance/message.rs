//! Messages as JSON, by descriptor, readable in a trace.
//!
//! Unlike the JSON gateway's mapping, bytes are text with `\xNN` for whatever
//! is not printable ASCII, integers are numbers, and enum numbers without a
//! name stay numbers in both directions. Fields that are not set are absent,
//! so a trace shows presence.

use bytes::Bytes;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Field,
};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Builds a message from JSON.
///
/// # Errors
/// A field does not exist or has another type.
pub fn from_json(descriptor: &MessageDescriptor, json: &Value) -> Result<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let wrong = |problem: String| Error::malformed(descriptor.full_name(), problem);
    let object = json
        .as_object()
        .ok_or_else(|| wrong(format!("{json} is no object")))?;
    for (name, value) in object {
        let field = descriptor.get_field_by_name(name);
        let field = field.ok_or_else(|| wrong(format!("no field {name}")))?;
        let value = match value {
            Value::Array(items) if field.is_list() => {
                let items = items.iter().map(|item| field_value(&field, item));
                Field::List(items.collect::<Result<_>>()?)
            }
            value => field_value(&field, value)?,
        };
        message
            .try_set_field(&field, value)
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(message)
}

/// Renders a message: fields that are set, in order of their numbers.
#[must_use]
pub fn to_json(message: &DynamicMessage) -> Value {
    let mut object = Map::new();
    let descriptor = message.descriptor();
    let mut fields: Vec<_> = descriptor.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields.iter().filter(|field| message.has_field(field)) {
        let value = json_value(field, &message.get_field(field));
        object.insert(field.name().to_owned(), value);
    }
    Value::Object(object)
}

/// Text to bytes: `\xNN` is one byte, `\\` a backslash.
///
/// # Errors
/// A backslash is followed by something else.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let wrong = || Error::malformed(text, "bad escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(after) = after.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
            continue;
        }
        let digits = after
            .strip_prefix('x')
            .and_then(|after| after.get(..2))
            .ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after.get(3..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Bytes to text, the reverse of [`unescape`].
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

fn field_value(field: &FieldDescriptor, json: &Value) -> Result<Field> {
    let wrong = || Error::malformed(field.full_name(), format!("{json} does not fit"));
    let value = match field.kind() {
        Kind::Bool => json.as_bool().map(Field::Bool),
        Kind::Int64 => json.as_i64().map(Field::I64),
        Kind::Uint64 => json.as_u64().map(Field::U64),
        Kind::Int32 => json
            .as_i64()
            .and_then(|int| i32::try_from(int).ok())
            .map(Field::I32),
        Kind::Uint32 => json
            .as_u64()
            .and_then(|int| u32::try_from(int).ok())
            .map(Field::U32),
        Kind::String => json.as_str().map(|text| Field::String(text.to_owned())),
        Kind::Bytes => {
            let text = json.as_str().ok_or_else(wrong)?;
            Some(Field::Bytes(Bytes::from(unescape(text)?)))
        }
        Kind::Enum(kind) => match json {
            Value::String(name) => kind.get_value_by_name(name).map(|value| value.number()),
            json => json.as_i64().and_then(|int| i32::try_from(int).ok()),
        }
        .map(Field::EnumNumber),
        Kind::Message(kind) => return Ok(Field::Message(from_json(&kind, json)?)),
        _ => None,
    };
    value.ok_or_else(wrong)
}

fn json_value(field: &FieldDescriptor, value: &Field) -> Value {
    match value {
        Field::Bool(value) => Value::from(*value),
        Field::I32(value) => Value::from(*value),
        Field::I64(value) => Value::from(*value),
        Field::U32(value) => Value::from(*value),
        Field::U64(value) => Value::from(*value),
        Field::F32(value) => Value::from(*value),
        Field::F64(value) => Value::from(*value),
        Field::String(value) => Value::from(value.as_str()),
        Field::Bytes(value) => Value::from(escape(value)),
        Field::EnumNumber(number) => match field.kind() {
            Kind::Enum(kind) => kind
                .get_value(*number)
                .map_or_else(|| Value::from(*number), |value| Value::from(value.name())),
            _ => Value::from(*number),
        },
        Field::Message(message) => to_json(message),
        Field::List(items) => items.iter().map(|item| json_value(field, item)).collect(),
        // The API has no maps.
        Field::Map(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::client::descriptors;

    #[test]
    fn messages_survive_the_way_through_json() {
        let pool = descriptors().unwrap();
        let request = pool.get_message_by_name("etcdserverpb.TxnRequest").unwrap();
        let json = serde_json::json!({
            "compare": [{"result": 7, "target": "VALUE", "key": "a\\x00\\\\", "value": ""}],
            "success": [{"request_range": {"key": "k", "limit": -1}}, {}],
        });
        let message = from_json(&request, &json).unwrap();
        assert_eq!(to_json(&message), json);
        assert!(from_json(&request, &serde_json::json!({"nothing": 1})).is_err());
        assert!(from_json(&request, &serde_json::json!({"compare": [{"key": 1}]})).is_err());
    }

    #[test]
    fn every_byte_survives_escaping() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&bytes)).unwrap(), bytes);
        assert!(unescape("\\q").is_err());
        assert!(unescape("\\x").is_err());
    }
}
