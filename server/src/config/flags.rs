//! The command line, in the syntax of Go's `flag` package to the letter.
//!
//! `-name` equals `--name`; a boolean takes a value only with `=`; a repeated
//! flag's last value wins; the first word that is no flag ends parsing. Values
//! are checked against their grammar here and kept as text; meaning is given
//! by `resolve`. Why not a library: none of them speaks these rules.
//! Source: observed etcd 3.7.3 and its refusals.

use std::collections::BTreeMap;

use super::feature_gates::FeatureGates;
use super::go_values::{IntegerError, parse_bool, parse_duration, parse_signed, parse_unsigned};
use super::table::{self, Flag, Kind};
use super::url::Url;

/// Flag values by name, as set from one or more sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    set: BTreeMap<&'static str, String>,
}

/// Why the command line cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FlagError {
    /// `-h` or `--help`.
    HelpWanted,
    /// Refused: the text to print before the usage.
    Refused(String),
}

/// Parses arguments without the program's name. Returns the flags and the
/// first word that is none.
pub(crate) fn parse(arguments: &[String]) -> Result<(Values, Option<String>), FlagError> {
    let mut values = Values::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(name_and_value) = strip_dashes(argument)? else {
            let word = if argument == "--" {
                rest.next()
            } else {
                Some(argument)
            };
            return Ok((values, word.cloned()));
        };
        let (name, value) = match name_and_value.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name_and_value, None),
        };
        let Some(flag) = table::find(name) else {
            if name == "help" || name == "h" {
                return Err(FlagError::HelpWanted);
            }
            return Err(FlagError::Refused(format!(
                "flag provided but not defined: -{name}"
            )));
        };
        let value = match (flag.kind, value) {
            (Kind::Ignored, _) => "",
            (_, Some(value)) => value,
            (Kind::Bool, None) => "true",
            (_, None) => rest
                .next()
                .ok_or_else(|| FlagError::Refused(format!("flag needs an argument: -{name}")))?,
        };
        values.set(flag, value).map_err(|reason| {
            let what = if flag.kind == Kind::Bool {
                "boolean value"
            } else {
                "value"
            };
            let of = if flag.kind == Kind::Bool { "" } else { "flag " };
            FlagError::Refused(format!(
                "invalid {what} \"{value}\" for {of}-{name}: {reason}"
            ))
        })?;
    }
    Ok((values, None))
}

impl Values {
    /// Sets a flag after checking the value's grammar; the error is the reason
    /// alone.
    pub(crate) fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), String> {
        check(flag.kind, value)?;
        self.set.insert(flag.name, value.to_owned());
        Ok(())
    }

    /// Whether the flag was given.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// The flag's text: as given, else its default.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.set.get(name) {
            Some(value) => value,
            None => table::find(name).map_or("", |flag| flag.default),
        }
    }

    /// A boolean flag.
    pub(crate) fn bool(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or(false)
    }

    /// An unsigned flag.
    pub(crate) fn unsigned(&self, name: &str) -> u64 {
        parse_unsigned(self.text(name)).unwrap_or(0)
    }

    /// A signed flag.
    pub(crate) fn signed(&self, name: &str) -> i64 {
        parse_signed(self.text(name)).unwrap_or(0)
    }

    /// A duration flag; negative ones count as zero.
    pub(crate) fn duration(&self, name: &str) -> std::time::Duration {
        match parse_duration(self.text(name)) {
            Some((false, duration)) => duration,
            _ => std::time::Duration::ZERO,
        }
    }

    /// A URL list flag.
    pub(crate) fn urls(&self, name: &str) -> Vec<Url> {
        Url::parse_list(self.text(name)).unwrap_or_default()
    }

    /// Names and texts of everything that was given.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.set.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// `None` for a word that is no flag and for the terminator.
fn strip_dashes(argument: &str) -> Result<Option<&str>, FlagError> {
    let Some(one) = argument.strip_prefix('-') else {
        return Ok(None);
    };
    let name = one.strip_prefix('-').unwrap_or(one);
    if one.is_empty() || argument == "--" {
        return Ok(None);
    }
    if name.is_empty() || name.starts_with('-') || name.starts_with('=') {
        return Err(FlagError::Refused(format!("bad flag syntax: {argument}")));
    }
    Ok(Some(name))
}

fn check(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::Ignored => Ok(()),
        Kind::Bool => parse_bool(value)
            .map(drop)
            .ok_or_else(|| "parse error".to_owned()),
        Kind::Unsigned => parse_unsigned(value).map(drop).map_err(integer_reason),
        Kind::Signed => parse_signed(value).map(drop).map_err(integer_reason),
        Kind::Unsigned32 => check_unsigned32(value),
        Kind::Duration => parse_duration(value)
            .map(drop)
            .ok_or_else(|| "parse error".to_owned()),
        Kind::Urls => Url::parse_list(value)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Origins => check_origins(value),
        Kind::Word(words) if words.contains(&value) => Ok(()),
        Kind::Word(_) => Err("invalid value".to_owned()),
        Kind::QuotedWord(words) if words.contains(&value) => Ok(()),
        Kind::QuotedWord(_) => Err(format!("invalid value \"{value}\"")),
        Kind::Level if LEVELS.contains(&value) => Ok(()),
        Kind::Level => Err(format!("unrecognized level: \"{value}\"")),
        Kind::Gates => FeatureGates::parse(value).map(drop),
    }
}

fn check_origins(value: &str) -> Result<(), String> {
    let urls = value
        .split(',')
        .filter(|origin| origin.trim() != "*")
        .collect::<Vec<_>>()
        .join(",");
    Url::parse_list(&urls)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn integer_reason(error: IntegerError) -> String {
    match error {
        IntegerError::Syntax => "parse error".to_owned(),
        IntegerError::Range => "value out of range".to_owned(),
    }
}

fn check_unsigned32(value: &str) -> Result<(), String> {
    let parsed = parse_unsigned(value)
        .and_then(|number| u32::try_from(number).map_err(|_| IntegerError::Range));
    let reason = match parsed {
        Ok(_) => return Ok(()),
        Err(IntegerError::Syntax) => "invalid syntax",
        Err(IntegerError::Range) => "value out of range",
    };
    Err(format!("strconv.ParseUint: parsing \"{value}\": {reason}"))
}

/// The words of `--log-level`.
const LEVELS: [&str; 7] = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"];

#[cfg(test)]
mod tests {
    use super::{FlagError, parse};

    fn parsed(arguments: &[&str]) -> Result<(super::Values, Option<String>), FlagError> {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        parse(&arguments)
    }

    #[test]
    fn both_dashes_and_both_value_forms_are_the_same() {
        for arguments in [
            &["-name=a"][..],
            &["--name=a"],
            &["-name", "a"],
            &["--name", "b", "--name", "a"],
        ] {
            let (values, word) = parsed(arguments).unwrap();
            assert_eq!((values.text("name"), word), ("a", None), "{arguments:?}");
        }
    }

    #[test]
    fn a_boolean_takes_a_value_only_with_an_equals_sign() {
        let (values, word) = parsed(&["--pre-vote", "false", "--name=x"]).unwrap();
        assert!(values.bool("pre-vote"));
        assert_eq!(word.as_deref(), Some("false"));
        assert!(!values.is_set("name"), "parsing stops at the first word");
        assert!(!parsed(&["--pre-vote=F"]).unwrap().0.bool("pre-vote"));
    }

    #[test]
    fn two_dashes_alone_end_the_flags() {
        let (values, word) = parsed(&["--name=a", "--", "--name=b"]).unwrap();
        assert_eq!(
            (values.text("name"), word.as_deref()),
            ("a", Some("--name=b"))
        );
        assert_eq!(parsed(&["-"]).unwrap().1.as_deref(), Some("-"));
    }

    #[test]
    fn ancient_flags_are_accepted_with_or_without_a_value() {
        let (values, word) = parsed(&["--force", "-v=1", "--name", "a"]).unwrap();
        assert_eq!((values.text("name"), word), ("a", None));
    }

    #[test]
    fn refusals_have_the_words_of_gos_parser() {
        for (argument, expected) in [
            ("--foo", "flag provided but not defined: -foo"),
            ("--proxy=off", "flag provided but not defined: -proxy"),
            ("--name", "flag needs an argument: -name"),
            ("--=x", "bad flag syntax: --=x"),
            ("---name=x", "bad flag syntax: ---name=x"),
            (
                "--snapshot-count=abc",
                "invalid value \"abc\" for flag -snapshot-count: parse error",
            ),
            (
                "--snapshot-count=99999999999999999999",
                "invalid value \"99999999999999999999\" for flag -snapshot-count: value out of range",
            ),
            (
                "--pre-vote=no",
                "invalid boolean value \"no\" for -pre-vote: parse error",
            ),
            (
                "--initial-cluster-state=old",
                "invalid value \"old\" for flag -initial-cluster-state: invalid value",
            ),
            (
                "--v2-deprecation=not-yet",
                "invalid value \"not-yet\" for flag -v2-deprecation: invalid value \"not-yet\"",
            ),
            (
                "--max-concurrent-streams=4294967296",
                "invalid value \"4294967296\" for flag -max-concurrent-streams: \
                 strconv.ParseUint: parsing \"4294967296\": value out of range",
            ),
            (
                "--listen-client-urls=foo",
                "invalid value \"foo\" for flag -listen-client-urls: URL scheme must be http, \
                 https, unix, or unixs: foo",
            ),
            (
                "--feature-gates=X=true",
                "invalid value \"X=true\" for flag -feature-gates: unrecognized feature gate: X",
            ),
        ] {
            let refused = FlagError::Refused(expected.to_owned());
            assert_eq!(parsed(&[argument]).unwrap_err(), refused, "{argument}");
        }
        assert_eq!(parsed(&["-h"]).unwrap_err(), FlagError::HelpWanted);
    }
}
