//! Flags of one verb, read as what they must be.
//!
//! `ETCDCTL_<FLAG>` in the environment stands for a global flag that is not
//! given. Which flags there are is in [`crate::verbs`].

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgMatches;

use crate::failure::{Failure, STATUS_ERROR};

/// Name of what follows the verb.
pub(crate) const ARGUMENTS: &str = "arguments";

/// The flags of one verb, read as what they must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags<'a>(pub(crate) &'a ArgMatches);

impl<'a> Flags<'a> {
    /// What follows the verb.
    pub(crate) fn arguments(self) -> Vec<Vec<u8>> {
        self.list(ARGUMENTS)
    }

    /// What follows the verb, as text.
    pub(crate) fn texts(self) -> Vec<String> {
        let lossy = |argument: Vec<u8>| String::from_utf8_lossy(&argument).into_owned();
        self.arguments().into_iter().map(lossy).collect()
    }

    /// What follows `--` in watch.
    pub(crate) fn list(self, name: &str) -> Vec<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;

        let values = self.0.try_get_many::<OsString>(name).ok().flatten();
        values
            .into_iter()
            .flatten()
            .map(|value| value.as_bytes().to_vec())
            .collect()
    }

    pub(crate) fn text(self, name: &str) -> &'a str {
        self.0.get_one::<String>(name).map_or("", String::as_str)
    }

    /// Given on the command line.
    pub(crate) fn is_given(self, name: &str) -> bool {
        self.0.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    }

    pub(crate) fn switch(self, name: &str) -> Result<bool, Failure> {
        parse_bool(name, self.text(name))
    }

    pub(crate) fn integer(self, name: &str) -> Result<i64, Failure> {
        let text = self.text(name);
        text.parse()
            .map_err(|_| invalid(name, text, "strconv.ParseInt", "invalid syntax"))
    }

    /// A global flag: the command line, the environment, the default. Both at
    /// once are refused.
    pub(crate) fn global(self, name: &str) -> Result<String, Failure> {
        let variable = format!("ETCDCTL_{}", name.to_uppercase().replace('-', "_"));
        match std::env::var(&variable) {
            Ok(value) if !value.is_empty() => match self.is_given(name) {
                true => Err(Failure::new(
                    STATUS_ERROR,
                    format!(
                        "conflicting environment variable {variable} is shadowed by the flag \
                         --{name}: unset one of them"
                    ),
                )),
                false => Ok(value),
            },
            _ => Ok(self.text(name).to_owned()),
        }
    }

    pub(crate) fn global_switch(self, name: &str) -> Result<bool, Failure> {
        parse_bool(name, &self.global(name)?)
    }

    pub(crate) fn global_duration(self, name: &str) -> Result<Duration, Failure> {
        let text = self.global(name)?;
        parse_duration(&text).ok_or_else(|| {
            let reason = format!("time: invalid duration \"{text}\"");
            Failure::new(
                STATUS_ERROR,
                format!("invalid argument \"{text}\" for \"--{name}\" flag: {reason}"),
            )
        })
    }

    pub(crate) fn global_integer(self, name: &str) -> Result<i64, Failure> {
        let text = self.global(name)?;
        text.parse()
            .map_err(|_| invalid(name, &text, "strconv.ParseInt", "invalid syntax"))
    }
}

fn parse_bool(name: &str, text: &str) -> Result<bool, Failure> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(invalid(name, text, "strconv.ParseBool", "invalid syntax")),
    }
}

/// `1h2m3.5s`, `150ms`, `0`.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

fn invalid(name: &str, text: &str, parser: &str, reason: &str) -> Failure {
    let reason = format!("{parser}: parsing \"{text}\": {reason}");
    let complaint = format!("invalid argument \"{text}\" for \"--{name}\" flag: {reason}");
    Failure::new(STATUS_ERROR, format!("{complaint}{USAGE}"))
}

/// Where to look after a command line that cannot be read.
pub(crate) const USAGE: &str = "\nRun 'quoinctl --help' for usage.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        assert_eq!(
            parse_duration("1m2.5s"),
            Some(Duration::from_millis(62_500))
        );
        assert_eq!(parse_duration("150ms"), Some(Duration::from_millis(150)));
        for text in ["", "5", "s", "1x", "-1s"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }
}
