//! Shorthands in a script's JSON, expanded just before sending.
//!
//! - `{"$fill": ["x", 1000]}` is a string of 1000 times `x`.
//! - `{"$each": 3, "of": X}`, as an element of an array, is X three times with
//!   `$i` in its strings replaced by 000, 001, 002.
//! - `"$name"` is the number that an earlier step saved under `name`.
//!
//! A trace stores the short form, so that it stays readable.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Numbers saved by earlier steps: lease ids chosen by the server.
pub type Saved = BTreeMap<String, i64>;

/// Expands all shorthands in `json`.
#[must_use]
pub fn expand(json: &Value, saved: &Saved) -> Value {
    match json {
        Value::String(text) => saved_number(text, saved).unwrap_or_else(|| json.clone()),
        Value::Array(items) => {
            let items = items.iter().flat_map(|item| expand_element(item, saved));
            Value::Array(items.collect())
        }
        Value::Object(object) => filled(object).unwrap_or_else(|| {
            let fields = object
                .iter()
                .map(|(name, value)| (name.clone(), expand(value, saved)));
            Value::Object(fields.collect())
        }),
        other => other.clone(),
    }
}

/// Replaces `$i` in every string of `json` by a three-digit `index`.
#[must_use]
pub fn numbered(json: &Value, index: u64) -> Value {
    match json {
        Value::String(text) => Value::from(text.replace("$i", &format!("{index:03}"))),
        Value::Array(items) => items.iter().map(|item| numbered(item, index)).collect(),
        Value::Object(object) => {
            let fields = object
                .iter()
                .map(|(name, value)| (name.clone(), numbered(value, index)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn expand_element(item: &Value, saved: &Saved) -> Vec<Value> {
    let each = item
        .get("$each")
        .and_then(Value::as_u64)
        .zip(item.get("of"));
    let Some((count, template)) = each else {
        return vec![expand(item, saved)];
    };
    (0..count)
        .map(|index| expand(&numbered(template, index), saved))
        .collect()
}

fn saved_number(text: &str, saved: &Saved) -> Option<Value> {
    saved
        .get(text.strip_prefix('$')?)
        .map(|number| Value::from(*number))
}

fn filled(object: &Map<String, Value>) -> Option<Value> {
    let arguments = object.get("$fill")?.as_array()?;
    let text = arguments.first()?.as_str()?;
    let count = usize::try_from(arguments.get(1)?.as_u64()?).ok()?;
    Some(Value::from(text.repeat(count)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shorthands_expand() {
        let saved = Saved::from([("lease".to_owned(), 7)]);
        let short = json!({
            "lease": "$lease",
            "value": {"$fill": ["ab", 2]},
            "ops": [{"$each": 2, "of": {"key": "k$i"}}, 1],
        });
        let long = json!({
            "lease": 7,
            "value": "abab",
            "ops": [{"key": "k000"}, {"key": "k001"}, 1],
        });
        assert_eq!(expand(&short, &saved), long);
    }
}
