//! `ETCD_*` variables: every flag has one, and using both is an error.
//!
//! The environment comes in as an argument; only `main` reads the real one.
//! Source: observed etcd 3.7.3.

use super::flags::Values;
use super::load::Notice;
use super::table;

/// Why the environment cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvironmentError {
    /// A flag and its variable are both given: the variable's name.
    Shadowed(String),
    /// A value the flag would refuse too: the whole text.
    Refused(String),
}

/// Adds the values of variables to those of flags.
pub(crate) fn apply(
    environment: &[(String, String)],
    values: &mut Values,
    notices: &mut Vec<Notice>,
) -> Result<(), EnvironmentError> {
    let prefixed = environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX));
    for (name, value) in prefixed {
        if name == "ETCD_VERSION" {
            notices.push(Notice::warn(
                "cannot set special environment variable",
                &[("key", name), ("value", value)],
            ));
            continue;
        }
        let Some(flag) = table::all().find(|flag| variable_name(flag.name) == *name) else {
            notices.push(Notice::warn(
                "unrecognized environment variable",
                &[("environment-variable", &format!("{name}={value}"))],
            ));
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if values.is_set(flag.name) {
            return Err(EnvironmentError::Shadowed(name.clone()));
        }
        values.set(flag, value).map_err(|reason| {
            EnvironmentError::Refused(format!("invalid value \"{value}\" for {name}: {reason}"))
        })?;
        notices.push(Notice::info(
            "recognized and used environment variable",
            &[("variable-name", name), ("variable-value", value)],
        ));
    }
    Ok(())
}

/// The variable of a flag.
pub(crate) fn variable_name(flag: &str) -> String {
    let upper = flag.to_ascii_uppercase().replace('-', "_");
    format!("{PREFIX}{upper}")
}

const PREFIX: &str = "ETCD_";

#[cfg(test)]
mod tests {
    use super::super::flags::{Values, parse};
    use super::{EnvironmentError, apply};

    fn applied(
        variables: &[(&str, &str)],
        mut values: Values,
    ) -> Result<(Values, Vec<String>), EnvironmentError> {
        let environment: Vec<(String, String)> = variables
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        let mut notices = Vec::new();
        apply(&environment, &mut values, &mut notices)?;
        Ok((
            values,
            notices.into_iter().map(|notice| notice.message).collect(),
        ))
    }

    #[test]
    fn a_variable_sets_its_flag_and_says_so() {
        let (values, notices) = applied(
            &[("ETCD_DATA_DIR", "/d"), ("PATH", "/bin")],
            Values::default(),
        )
        .unwrap();
        assert_eq!(values.text("data-dir"), "/d");
        assert_eq!(notices, ["recognized and used environment variable"]);
    }

    #[test]
    fn an_empty_variable_is_not_set_and_an_unknown_one_only_warns() {
        let variables = [
            ("ETCD_NAME", ""),
            ("ETCD_UNSUPPORTED_ARCH", "amd64"),
            ("ETCD_VERSION", "3"),
        ];
        let (values, notices) = applied(&variables, Values::default()).unwrap();
        assert!(!values.is_set("name"));
        assert_eq!(
            notices,
            [
                "unrecognized environment variable",
                "cannot set special environment variable"
            ]
        );
    }

    #[test]
    fn a_flag_and_its_variable_exclude_each_other() {
        let (values, _) = parse(&["--name=a".to_owned()]).unwrap();
        let shadowed = applied(&[("ETCD_NAME", "b")], values).unwrap_err();
        assert_eq!(shadowed, EnvironmentError::Shadowed("ETCD_NAME".into()));
    }

    #[test]
    fn a_bad_value_names_the_variable() {
        let refused = applied(&[("ETCD_SNAPSHOT_COUNT", "abc")], Values::default()).unwrap_err();
        let text = "invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error";
        assert_eq!(refused, EnvironmentError::Refused(text.into()));
    }
}
