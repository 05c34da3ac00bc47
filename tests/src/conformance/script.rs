//! Scripts: the calls of one area as text.
//!
//! ```text
//! server --max-txn-ops=4         a flag of the server
//! # a comment
//! 4.3 an empty key is refused    the rule that the next steps show
//! KV.Range {"key": ""}           a call; its JSON may go on over lines
//! KV.Range {} hasleader=true     metadata after the JSON
//! 30 KV.Put {"key": "k$i"}       the same call 30 times
//! save lease ID                  keeps a number of the last reply as $lease
//! open w Watch.Watch             a stream named w; metadata as above
//! send w {"create_request": {}}
//! receive w 2                    two messages, compared whole
//! events w 5                     messages with five events, grouping ignored
//! half-close w
//! drop w
//! ```

use std::path::Path;

use serde_json::Value;

use super::{
    client::Metadata,
    trace::{Action, Step, Trace},
};
use crate::{Error, Result};

/// Parses the script of `area`.
///
/// # Errors
/// A line is not understood; the error names it.
pub fn parse(area: &str, path: &Path, text: &str) -> Result<Trace> {
    let mut trace = Trace {
        area: area.to_owned(),
        ..Trace::default()
    };
    let mut rule = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let wrong =
            |problem: &str| Error::malformed(path, format!("line {}: {problem}", number + 1));
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if is_rule(&line) {
            rule = line;
            continue;
        }
        if let Some(flag) = line.strip_prefix("server ") {
            trace.server.push(flag.to_owned());
            continue;
        }
        while let Some(open) = line.find('{')
            && first_json(&line[open..]).is_none()
        {
            let (_, more) = lines.next().ok_or_else(|| wrong("JSON does not end"))?;
            line = format!("{line} {}", more.trim());
        }
        if let Some(arguments) = line.strip_prefix("save ") {
            let saved = arguments
                .split_once(' ')
                .ok_or_else(|| wrong("save NAME FIELD"))?;
            match trace.steps.last_mut().map(|step| &mut step.action) {
                Some(Action::Call { save, .. }) => {
                    *save = Some((saved.0.to_owned(), saved.1.to_owned()));
                }
                _ => return Err(wrong("nothing to save from")),
            }
            continue;
        }
        let action = action(&line).ok_or_else(|| wrong("not understood"))?;
        if rule.is_empty() {
            return Err(wrong("no rule above the first step"));
        }
        trace.steps.push(Step {
            rule: rule.clone(),
            action,
            outcome: Value::Null,
        });
    }
    Ok(trace)
}

/// A rule starts with a section number: digits, a dot, digits, a space.
fn is_rule(line: &str) -> bool {
    let (section, rest) = line.split_once(' ').unwrap_or((line, ""));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    !rest.is_empty()
        && section
            .split_once('.')
            .is_some_and(|(one, two)| digits(one) && digits(two))
}

fn action(line: &str) -> Option<Action> {
    let mut words = line.splitn(3, ' ');
    let (verb, first, second) = (words.next()?, words.next(), words.next());
    let stream = || first.map(ToOwned::to_owned);
    let count = || second.map_or(Some(1), |count| count.parse().ok());
    Some(match verb {
        "open" => {
            let (method, metadata) = second?.split_once(' ').unwrap_or((second?, ""));
            let metadata = parse_metadata(metadata)?;
            Action::Open {
                stream: stream()?,
                method: method.to_owned(),
                metadata,
            }
        }
        "send" => Action::Send {
            stream: stream()?,
            request: first_json(second?)?.0,
        },
        "receive" => Action::Receive {
            stream: stream()?,
            count: count()?,
        },
        "events" => Action::Events {
            stream: stream()?,
            count: count()?,
        },
        "half-close" => Action::HalfClose { stream: stream()? },
        "drop" => Action::Drop { stream: stream()? },
        _ => return call(line),
    })
}

fn call(line: &str) -> Option<Action> {
    let (verb, rest) = line.split_once(' ')?;
    let (times, line) = verb.parse().map_or((1, line), |times| (times, rest));
    let (method, rest) = line.split_once(' ')?;
    let (request, rest) = first_json(rest)?;
    let metadata = parse_metadata(rest.trim())?;
    let method = method.contains('.').then(|| method.to_owned())?;
    Some(Action::Call {
        method,
        request,
        metadata,
        times,
        save: None,
    })
}

/// The JSON value at the start of `text`, and what follows it.
fn first_json(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next()?.ok()?;
    let end = values.byte_offset();
    Some((value, text.get(end..)?))
}

fn parse_metadata(text: &str) -> Option<Metadata> {
    let pairs = text.split_whitespace().map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_becomes_steps() {
        let text = "server --x=1\n# no\n4.3 rule\nKV.Range {\"key\":\n \"a\"} hasleader=true\n\
                    3 KV.Put {\"key\": \"k$i\"}\nsave n count\nopen w Watch.Watch\nsend w {}\n\
                    receive w 2";
        let trace = parse("t", Path::new("t"), text).unwrap();
        assert_eq!((trace.server.len(), trace.steps.len()), (1, 5));
        assert!(trace.steps.iter().all(|step| step.rule == "4.3 rule"));
        assert!(matches!(&trace.steps[0].action,
            Action::Call { metadata, times: 1, .. } if metadata["hasleader"] == "true"));
        assert!(matches!(
            &trace.steps[1].action,
            Action::Call {
                times: 3,
                save: Some(_),
                ..
            }
        ));
        assert!(parse("t", Path::new("t"), "4.3 rule\nnonsense").is_err());
        assert!(parse("t", Path::new("t"), "KV.Range {}").is_err());
    }
}
