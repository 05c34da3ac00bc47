//! A profile as a file that `go tool pprof` and its relatives read.
//!
//! The messages are those of the format's public description, by field number;
//! only fields that are written are listed. Names are indexes into the string
//! table, whose first string is empty. The file is not compressed: readers
//! take both. Source: google/pprof, proto/profile.proto.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message;

use super::cpu::{CpuProfile, Frame};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    /// One for each `sample_type`.
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The string table in the making.
#[derive(Default)]
struct Strings {
    indexes: HashMap<String, i64>,
    table: Vec<String>,
}

impl Strings {
    fn index(&mut self, text: &str) -> i64 {
        if let Some(index) = self.indexes.get(text) {
            return *index;
        }
        let index = i64::try_from(self.table.len()).unwrap_or(0);
        self.table.push(text.to_owned());
        self.indexes.insert(text.to_owned(), index);
        index
    }
}

impl CpuProfile {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut strings = Strings::default();
        strings.index("");
        let samples = ValueType {
            r#type: strings.index("samples"),
            unit: strings.index("count"),
        };
        let cpu = ValueType {
            r#type: strings.index("cpu"),
            unit: strings.index("nanoseconds"),
        };
        let mut profile = Profile {
            sample_type: vec![samples, cpu],
            time_nanos: since_epoch(self.started),
            duration_nanos: nanoseconds(self.took),
            period_type: Some(cpu),
            period: nanoseconds(self.period),
            ..Profile::default()
        };
        let mut ids = HashMap::new();
        for stack in &self.stacks {
            let frames = stack.frames.iter();
            let location_id = frames
                .map(|frame| locate(frame, &mut ids, &mut profile, &mut strings))
                .collect();
            let count = i64::try_from(stack.samples_count).unwrap_or(i64::MAX);
            profile.sample.push(Sample {
                location_id,
                value: vec![count, count.saturating_mul(profile.period)],
                label: vec![Label {
                    key: strings.index("thread"),
                    str: strings.index(&stack.thread),
                }],
            });
        }
        profile.string_table = strings.table;
        profile.encode_to_vec()
    }
}

/// The id of a frame's location, made with its function if it is new.
fn locate<'a>(
    frame: &'a Frame,
    ids: &mut HashMap<&'a Frame, u64>,
    profile: &mut Profile,
    strings: &mut Strings,
) -> u64 {
    // Ids start at 1.
    let next = profile.location.len() as u64 + 1;
    *ids.entry(frame).or_insert_with(|| {
        profile.function.push(Function {
            id: next,
            name: strings.index(&frame.function),
            system_name: strings.index(&frame.symbol),
            filename: strings.index(&frame.file),
        });
        profile.location.push(Location {
            id: next,
            line: vec![Line {
                function_id: next,
                line: frame.line.into(),
            }],
        });
        next
    })
}

fn since_epoch(time: SystemTime) -> i64 {
    nanoseconds(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::cpu::Stack;
    use super::*;

    #[test]
    fn stacks_share_locations_and_strings() {
        let frame = |function: &str| Frame {
            function: function.into(),
            symbol: format!("_{function}"),
            file: "a.rs".into(),
            line: 7,
        };
        let stack = |functions: &[&str], samples_count| Stack {
            thread: "quoin-rpc".into(),
            frames: functions.iter().map(|name| frame(name)).collect(),
            samples_count,
        };
        let profile = CpuProfile {
            stacks: vec![stack(&["leaf", "main"], 3), stack(&["main"], 2)],
            period: Duration::from_millis(10),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            took: Duration::from_secs(2),
        };
        let read = Profile::decode(&*profile.encode()).unwrap();
        let text = |index: i64| &*read.string_table[usize::try_from(index).unwrap()];
        assert_eq!(text(0), "");
        let name = |id: u64| {
            let function = read.function.iter().find(|function| function.id == id);
            text(function.unwrap().name)
        };
        let stacks: Vec<Vec<&str>> = read
            .sample
            .iter()
            .map(|sample| sample.location_id.iter().map(|id| name(*id)).collect())
            .collect();
        assert_eq!(stacks, [vec!["leaf", "main"], vec!["main"]]);
        assert_eq!(read.location.len(), 2);
        assert_eq!(read.sample[0].value, [3, 30_000_000]);
        let label = read.sample[0].label[0];
        assert_eq!((text(label.key), text(label.str)), ("thread", "quoin-rpc"));
        assert_eq!((read.time_nanos, read.period), (1_000_000_000, 10_000_000));
    }
}
