//! The YAML configuration file, as the same texts the flags have.
//!
//! Keys are flag names; durations are integers of nanoseconds; lists may be
//! YAML lists; the two TLS sections map onto their flags (and are then refused
//! like those). Unknown keys and nulls are ignored, as etcd ignores them.

use serde_json::{Map, Value};

use super::flags::Values;
use super::table::{self, Kind};

/// Reads a file into flag values.
pub(super) fn read(path: &str) -> Result<Values, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("open {path}: permission denied"),
        _ => format!("open {path}: {error}"),
    })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Values, String> {
    let document: Value = serde_yaml_ng::from_str(text)
        .map_err(|error| format!("error converting YAML to JSON: yaml: {error}"))?;
    let mut values = Values::default();
    let map = match document {
        Value::Object(map) => map,
        Value::Null => return Ok(values),
        _ => return Err("error unmarshaling JSON: the file is not a map of settings".to_owned()),
    };
    apply(&map, "", &mut values)?;
    for (section, prefix) in [
        ("client-transport-security", ""),
        ("peer-transport-security", "peer-"),
    ] {
        if let Some(Value::Object(section)) = map.get(section) {
            apply(section, prefix, &mut values)?;
        }
    }
    Ok(values)
}

fn apply(map: &Map<String, Value>, prefix: &str, values: &mut Values) -> Result<(), String> {
    for (key, value) in map {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}{key}")
        };
        let Some(flag) = table::find(&name) else {
            continue;
        };
        if matches!(flag.name, "config-file" | "version" | "discovery-fallback") {
            continue;
        }
        let Some(text) = flag_text(flag.kind, flag.name, value)? else {
            continue;
        };
        values.set(flag, &text).map_err(|reason| match flag.kind {
            Kind::Urls => format!("unexpected error setting up {key}: {reason}"),
            _ => format!("invalid value \"{text}\" for {key}: {reason}"),
        })?;
    }
    Ok(())
}

fn flag_text(kind: Kind, name: &str, value: &Value) -> Result<Option<String>, String> {
    let text = match (kind, value) {
        (_, Value::Null) => return Ok(None),
        (Kind::Duration, Value::Number(number)) => format!("{number}ns"),
        (Kind::Duration, _) => {
            return Err(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into \
                 Go struct field configYAML.Config.{name} of type time.Duration"
            ));
        }
        (_, Value::Bool(on)) => on.to_string(),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(list)) => {
            let words = list.iter().map(|word| {
                word.as_str()
                    .map_or_else(|| word.to_string(), str::to_owned)
            });
            words.collect::<Vec<_>>().join(",")
        }
        (_, Value::Object(_)) => return Err(format!("{name} is not a map")),
    };
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_are_flags_and_durations_are_nanoseconds() {
        let text = "name: m1\nsnapshot-count: 5\npre-vote: false\nunknown: 1\ndata-dir:\n\
                    log-outputs: [stderr, stdout]\nwatch-progress-notify-interval: 1000000000\n";
        let values = parse(text).unwrap();
        assert_eq!(values.text("name"), "m1");
        assert_eq!(values.unsigned("snapshot-count"), 5);
        assert!(!values.bool("pre-vote"));
        assert!(!values.is_set("data-dir"));
        assert_eq!(values.text("log-outputs"), "stderr,stdout");
        assert_eq!(
            values.duration("watch-progress-notify-interval").as_secs(),
            1
        );
    }

    #[test]
    fn a_duration_as_text_is_refused_in_etcds_words() {
        let error = parse("watch-progress-notify-interval: 1s").unwrap_err();
        assert!(error.ends_with("of type time.Duration"), "{error}");
    }

    #[test]
    fn a_tls_section_becomes_its_flags() {
        let values = parse("peer-transport-security:\n  cert-file: a.pem\n").unwrap();
        assert_eq!(values.text("peer-cert-file"), "a.pem");
    }
}
