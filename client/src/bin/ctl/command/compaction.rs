//! compaction

use super::parse_error;
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_ERROR};
use crate::flags::Flags;

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    let [text] = &texts[..] else {
        return Err(Failure::arguments("compaction command needs 1 argument"));
    };
    let revision: i64 = text
        .parse()
        .map_err(|error| Failure::new(STATUS_ERROR, parse_error("ParseInt", text, &error)))?;
    connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    client.compact(revision, flags.switch("physical")?).await?;
    crate::output::write(format!("compacted revision {revision}\n").as_bytes())
}
