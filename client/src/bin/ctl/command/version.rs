//! version

use crate::failure::Failure;

pub(super) fn run() -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("quoinctl version: {version}\nAPI version: 3.7\n");
    crate::output::write(text.as_bytes())
}
