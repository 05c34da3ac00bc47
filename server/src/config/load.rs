//! From arguments and environment to a configuration, or to a way to exit.
//!
//! Pure: arguments, environment and the reader of the one file come in. What
//! should be logged on the way is collected, because where log lines go is
//! itself configuration.

use super::environment::{self, EnvironmentError};
use super::flags::{self, FlagError};
use super::resolved::ServerConfig;
use super::{file, resolve};

/// A configuration and what to log about how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: ServerConfig,
    /// Lines for the log, in order.
    pub notices: Vec<Notice>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its severity.
    pub level: NoticeLevel,
    /// Its message.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

/// The severities of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// For the record.
    Info,
    /// An operator should know.
    Warn,
}

impl Notice {
    pub(super) fn info(message: &str, fields: &[(&str, &str)]) -> Self {
        Self::new(NoticeLevel::Info, message, fields)
    }

    pub(super) fn warn(message: &str, fields: &[(&str, &str)]) -> Self {
        Self::new(NoticeLevel::Warn, message, fields)
    }

    fn new(level: NoticeLevel, message: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            level,
            message: message.to_owned(),
            fields,
        }
    }
}

/// Why there is no configuration, hence how the process ends.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Help was asked for: usage and help texts, exit 0.
    HelpWanted,
    /// The version was asked for, exit 0.
    VersionWanted,
    /// Not the syntax of flags: the text before the usage, exit 2.
    Syntax(String),
    /// Well-formed but refused: logged as a warning, exit 1.
    Refused {
        /// The reason.
        error: String,
        /// What was noticed before.
        notices: Vec<Notice>,
    },
    /// Logged as fatal, exit 1.
    Fatal {
        /// The line.
        notice: Notice,
        /// What was noticed before.
        notices: Vec<Notice>,
    },
}

/// Loads the configuration from arguments (without the program's name) and
/// environment.
///
/// # Errors
/// [`LoadError`], also for help and version.
pub fn load(arguments: &[String], environment: &[(String, String)]) -> Result<Loaded, LoadError> {
    let (mut values, word) = flags::parse(arguments).map_err(|error| match error {
        FlagError::HelpWanted => LoadError::HelpWanted,
        FlagError::Refused(text) => LoadError::Syntax(text),
    })?;
    let mut notices = Vec::new();
    if let Some(word) = word {
        return Err(LoadError::Refused {
            error: format!("\"{word}\" is not a valid flag"),
            notices,
        });
    }
    if values.bool("version") {
        return Err(LoadError::VersionWanted);
    }
    let from_file = config_file(&values, environment);
    if let Some(path) = &from_file {
        values = match file::read(path) {
            Ok(values) => values,
            Err(error) => return Err(LoadError::Refused { error, notices }),
        };
        notices.push(Notice::info(
            "loaded server configuration, other configuration command line flags and environment \
             variables will be ignored if provided",
            &[("path", path)],
        ));
    } else if let Err(error) = environment::apply(environment, &mut values, &mut notices) {
        return Err(environment_error(error, notices));
    }
    match resolve::resolve(&values, from_file.is_some(), &mut notices) {
        Ok(config) => Ok(Loaded { config, notices }),
        Err(resolve::Refusal::Verify(error)) => Err(LoadError::Refused { error, notices }),
        Err(resolve::Refusal::Fatal(error)) => {
            let notice = Notice::warn("discovery failed", &[("error", &error)]);
            Err(LoadError::Fatal { notice, notices })
        }
    }
}

fn config_file(values: &flags::Values, environment: &[(String, String)]) -> Option<String> {
    if values.is_set("config-file") {
        return Some(values.text("config-file").to_owned()).filter(|path| !path.is_empty());
    }
    let name = environment::variable_name("config-file");
    let (_, value) = environment.iter().find(|(variable, _)| *variable == name)?;
    Some(value.clone()).filter(|path| !path.is_empty())
}

fn environment_error(error: EnvironmentError, notices: Vec<Notice>) -> LoadError {
    match error {
        EnvironmentError::Refused(error) => LoadError::Refused { error, notices },
        EnvironmentError::Shadowed(variable) => {
            let message = "conflicting environment variable is shadowed by corresponding \
                           command-line flag (either unset environment variable or disable flag))";
            let notice = Notice::warn(message, &[("environment-variable", &variable)]);
            LoadError::Fatal { notice, notices }
        }
    }
}
