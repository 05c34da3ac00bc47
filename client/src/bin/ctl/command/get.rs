//! get

use quoin_client::Get;
use quoin_client::proto::etcdserverpb::RangeRequest;
use quoin_client::proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use super::range;
use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_FEATURE};
use crate::flags::Flags;
use crate::output::{Format, Reply};

pub(super) async fn run(flags: Flags<'_>) -> Result<(), Failure> {
    let request = request(flags)?;
    let mut printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    let reply = match flags.switch("stream")? {
        true => {
            client
                .get_stream(Get::from(request))
                .await?
                .collect()
                .await?
        }
        false => client.get(Get::from(request)).await?,
    };
    if flags.switch("count-only")? && printer.format != Format::Fields {
        return Err(Failure::arguments(
            "--count-only is only for `--write-out=fields`",
        ));
    }
    if flags.switch("print-value-only")? {
        if printer.format != Format::Simple {
            let text = "print-value-only is only for `--write-out=simple`";
            return Err(Failure::arguments(text));
        }
        printer.value_only = true;
    }
    printer.print(&Reply::Get(reply))
}

/// The request that arguments and flags describe; also an operation of txn.
pub(super) fn request(flags: Flags<'_>) -> Result<RangeRequest, Failure> {
    let mut arguments = flags.arguments().into_iter();
    let Some(key) = arguments.next() else {
        let text = "get command needs one argument as key and an optional argument as range_end";
        return Err(Failure::arguments(text));
    };
    let (prefix, from_key) = (flags.switch("prefix")?, flags.switch("from-key")?);
    let (keys_only, count_only) = (flags.switch("keys-only")?, flags.switch("count-only")?);
    exclusive(prefix && from_key, "prefix", "from-key")?;
    exclusive(keys_only && count_only, "keys-only", "count-only")?;
    let serializable = serializable(flags.text("consistency"))?;
    let end = arguments.next();
    if end.is_some() && (prefix || from_key) {
        let text =
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
        return Err(Failure::arguments(text));
    }
    let (key, range_end) = range(key, end, prefix, from_key);
    let (order, target) = sort(flags.text("order"), flags.text("sort-by"))?;
    let (min_create, max_create) = bounds(flags, "create", "Create")?;
    let (min_mod, max_mod) = bounds(flags, "mod", "Mod")?;
    Ok(RangeRequest {
        key,
        range_end,
        limit: flags.integer("limit")?,
        revision: flags.integer("rev")?.max(0),
        sort_order: order.into(),
        sort_target: target.into(),
        serializable,
        keys_only,
        count_only,
        min_mod_revision: min_mod,
        max_mod_revision: max_mod,
        min_create_revision: min_create,
        max_create_revision: max_create,
    })
}

/// Refuses two flags together.
pub(super) fn exclusive(both: bool, first: &str, second: &str) -> Result<(), Failure> {
    match both {
        true => Err(Failure::arguments(format!(
            "`--{first}` and `--{second}` cannot be set at the same time, choose one"
        ))),
        false => Ok(()),
    }
}

/// Value of `--consistency`.
pub(super) fn serializable(text: &str) -> Result<bool, Failure> {
    match text {
        "s" => Ok(true),
        "l" => Ok(false),
        _ => {
            let text = crate::output::quote(text.as_bytes());
            Err(Failure::new(
                STATUS_FEATURE,
                format!("unknown consistency flag {text}"),
            ))
        }
    }
}

fn sort(order: &str, target: &str) -> Result<(SortOrder, SortTarget), Failure> {
    let bad = |what, value| Failure::new(STATUS_FEATURE, format!("bad sort {what} {value}"));
    let sort_order = match order.to_uppercase().as_str() {
        "" => SortOrder::None,
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        _ => return Err(bad("order", order)),
    };
    let sort_target = match target.to_uppercase().as_str() {
        "" | "KEY" => SortTarget::Key,
        "CREATE" => SortTarget::Create,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(bad("target", target)),
    };
    // Keys come in ascending order anyway.
    match (sort_target, sort_order) {
        (SortTarget::Key, SortOrder::Ascend) => Ok((SortOrder::None, sort_target)),
        _ => Ok((sort_order, sort_target)),
    }
}

/// `--min-<what>-rev` and `--max-<what>-rev`.
fn bounds(flags: Flags<'_>, what: &str, title: &str) -> Result<(i64, i64), Failure> {
    let min = flags.integer(&format!("min-{what}-rev"))?.max(0);
    let max = flags.integer(&format!("max-{what}-rev"))?.max(0);
    match max > 0 && min > max {
        true => Err(Failure::new(
            STATUS_FEATURE,
            format!("getMin{title}Rev(={min}) > getMax{title}Rev(={max})"),
        )),
        false => Ok((min, max)),
    }
}
