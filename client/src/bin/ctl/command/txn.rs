//! txn: a transaction from standard input.
//!
//! Three blocks, each ended by an empty line: comparisons, operations for when
//! all of them hold, operations for when some does not. Operations are the
//! command lines of get, put and del.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::OsStringExt;

use quoin_client::proto::etcdserverpb::compare::CompareResult;
use quoin_client::{Compare, Delete, Get, Operation, Put, Txn};

use super::{del, get, put};
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_INPUT};
use crate::flags::Flags;
use crate::output::{Reply, quote, unquote_prefix};
use crate::verbs;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    if !flags.arguments().is_empty() {
        return Err(Failure::arguments("txn command does not accept argument"));
    }
    let interactive = flags.switch("interactive")?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let prompt = |text: &str| match interactive {
        true => crate::output::write(text.as_bytes()),
        false => Ok(()),
    };
    let mut txn = Txn::new();
    prompt("compares:\n")?;
    while let Some(line) = line()? {
        txn = txn.when(compare(&line)?);
    }
    prompt("success requests (get, put, del):\n")?;
    while let Some(line) = line()? {
        txn = txn.then(operation(&line)?);
    }
    prompt("failure requests (get, put, del):\n")?;
    while let Some(line) = line()? {
        txn = txn.otherwise(operation(&line)?);
    }
    printer.print(&Reply::Txn(client.txn(txn).await?))
}

/// The next line of a block; `None` at its end.
fn line() -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| input(error.to_string()))?;
    match (line.ends_with('\n'), line.trim()) {
        (false, _) => Err(input("EOF")),
        (true, "") => Ok(None),
        (true, text) => Ok(Some(text.to_owned())),
    }
}

/// `TARGET("key") OP "value"`
fn compare(line: &str) -> Result<Compare, Failure> {
    let malformed = |what: String| input(format!("malformed comparison: {line}{what}"));
    let (target, rest) = line
        .split_once('(')
        .ok_or_else(|| malformed(String::new()))?;
    let mut parts = Parts::default();
    if parts.read(rest).is_none() {
        return Err(malformed(format!(
            "; got {target}({}) {} {}",
            quote(&parts.key),
            parts.operator,
            quote(&parts.value)
        )));
    }
    let Parts {
        key,
        operator,
        value,
    } = parts;
    let result = match operator.as_str() {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        _ => return Err(malformed(format!(" (unknown operator {operator})"))),
    };
    let number = |radix| {
        let text = std::str::from_utf8(&value).unwrap_or_default();
        i64::from_str_radix(text, radix)
            .map_err(|_| input(format!("invalid txn compare request: {line}")))
    };
    Ok(match target {
        "ver" | "version" => Compare::version(key, result, number(10)?),
        "c" | "create" => Compare::create_revision(key, result, number(10)?),
        "m" | "mod" => Compare::mod_revision(key, result, number(10)?),
        "val" | "value" => Compare::value(key, result, value),
        "lease" => Compare::lease(key, result, number(16)?),
        _ => return Err(malformed(format!(" (unknown target {target})"))),
    })
}

/// What of a comparison was read before it went wrong.
#[derive(Default)]
struct Parts {
    key: Vec<u8>,
    operator: String,
    value: Vec<u8>,
}

impl Parts {
    fn read(&mut self, text: &str) -> Option<()> {
        let (key, rest) = unquote_prefix(text.trim_start())?;
        self.key = key;
        let rest = rest.strip_prefix(')')?.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.operator = rest[..end].to_owned();
        let (value, _) = unquote_prefix(rest[end..].trim_start())?;
        self.value = value;
        Some(())
    }
}

/// A command line of get, put or del.
fn operation(line: &str) -> Result<Operation, Failure> {
    let words = split(line)?;
    if words.len() < 2 {
        return Err(input(format!("invalid txn compare request: {line}")));
    }
    let invalid = || input(format!("invalid txn request: {line}"));
    let command = match &words[0][..] {
        b"get" => verbs::get(),
        b"put" => verbs::put(),
        b"del" => verbs::del(),
        _ => return Err(invalid()),
    };
    let arguments = words.iter().cloned().map(OsString::from_vec);
    let matches = command
        .try_get_matches_from(arguments)
        .map_err(|_| invalid())?;
    let flags = Flags(&matches);
    Ok(match &words[0][..] {
        b"get" => Get::from(get::request(flags)?).into(),
        b"put" => Put::from(put::request(flags)?).into(),
        _ => Delete::from(del::request(flags)?).into(),
    })
}

/// Words separated by spaces; `'...'` is taken as it is, `"..."` with escapes.
pub(super) fn split(line: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let skipped = &rest[first.len_utf8()..];
        rest = match first {
            _ if first.is_whitespace() => skipped,
            '\'' => match skipped.split_once('\'') {
                Some((word, after)) => {
                    words.push(word.as_bytes().to_vec());
                    after
                }
                None => skipped,
            },
            '"' => match quoted_end(skipped) {
                Some(end) => {
                    let (word, _) =
                        unquote_prefix(rest).ok_or_else(|| input("invalid quoted string"))?;
                    words.push(word);
                    &skipped[end..]
                }
                None => skipped,
            },
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                words.push(rest.as_bytes()[..end].to_vec());
                &rest[end..]
            }
        };
    }
    Ok(words)
}

/// Index after the quote that ends a string whose first quote is gone.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' if !escaped => return Some(index + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn input(text: impl Into<String>) -> Failure {
    Failure::new(STATUS_INPUT, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_a_target_a_key_an_operator_and_a_value() {
        let expected = Compare::mod_revision("key1", CompareResult::Greater, 0);
        assert_eq!(compare("mod(\"key1\") > \"0\"").unwrap(), expected);
        let expected = Compare::value("a b", CompareResult::NotEqual, "x\"y");
        assert_eq!(compare("val(\"a b\") != \"x\\\"y\"").unwrap(), expected);
        let expected = Compare::lease("k", CompareResult::Equal, 0xff);
        assert_eq!(compare("lease(\"k\") = \"ff\"").unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_with_a_comparison_is_said() {
        for (line, text) in [
            ("foo", "malformed comparison: foo"),
            (
                "bad(\"k\") = \"v\"",
                "malformed comparison: bad(\"k\") = \"v\" (unknown target bad)",
            ),
            (
                "ver(\"k\") = \"abc\"",
                "invalid txn compare request: ver(\"k\") = \"abc\"",
            ),
            (
                "ver(\"k\") =",
                "malformed comparison: ver(\"k\") =; got ver(\"k\") = \"\"",
            ),
            (
                "ver(k) = \"1\"",
                "malformed comparison: ver(k) = \"1\"; got ver(\"\")  \"\"",
            ),
        ] {
            let failure = compare(line).unwrap_err();
            assert_eq!(
                (failure.status, failure.text.as_str()),
                (STATUS_INPUT, text)
            );
        }
    }

    #[test]
    fn operations_are_command_lines() {
        let expected: Operation = Put::new("key 1", "over\"written").into();
        assert_eq!(
            operation(r#"put 'key 1' "over\"written""#).unwrap(),
            expected
        );
        let expected: Operation = Get::prefix("a").limit(2).into();
        assert_eq!(operation("get --prefix a --limit=2").unwrap(), expected);
        let expected: Operation = Delete::range("a", "b").into();
        assert_eq!(operation("del a b").unwrap(), expected);
        for line in ["foo bar", "get --bogus a"] {
            let failure = operation(line).unwrap_err();
            assert_eq!(failure.text, format!("invalid txn request: {line}"));
        }
    }

    #[test]
    fn words_end_at_spaces_unless_quoted() {
        let words = split(r#"put 'a "b' "c\td" e'f "#).unwrap();
        assert_eq!(words, [&b"put"[..], b"a \"b", b"c\td", b"e'f"]);
    }
}
