//! Lines about progress on stderr, in the forms that etcd's tools write.

use std::time::SystemTime;

use quoin_server::telemetry::logs::utc;
use serde_json::{Map, Value};

/// Fields of a line, in order.
pub(crate) type Fields<'a> = &'a [(&'a str, Value)];

/// One JSON object per line: etcdctl's.
pub(crate) fn json(message: &str, fields: Fields<'_>) {
    let mut line = Map::new();
    line.insert("level".to_owned(), "info".into());
    line.insert("ts".to_owned(), utc(SystemTime::now()).into());
    line.insert("caller".to_owned(), "quoinctl".into());
    line.insert("msg".to_owned(), message.into());
    line.extend(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    crate::complain(&Value::Object(line).to_string());
}

/// Columns between tabs: etcdutl's.
pub(crate) fn console(message: &str, fields: Fields<'_>) {
    let now = utc(SystemTime::now());
    // Without the fraction of the second.
    let now = now.get(..19).unwrap_or(&now);
    let mut line = format!("{now}Z\tinfo\tquoinctl\t{message}");
    if !fields.is_empty() {
        let named = fields.iter();
        let named = named.map(|(name, value)| format!("{}: {value}", Value::from(*name)));
        line.push_str(&format!("\t{{{}}}", named.collect::<Vec<_>>().join(", ")));
    }
    crate::complain(&line);
}
