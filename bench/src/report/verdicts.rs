//! The targets and what became of them.

use std::fmt::{Result, Write};

use crate::{
    compare::{
        session::Session,
        statistics::Spread,
        targets::{Bound, Evidence, TARGETS, Target, Verdict},
    },
    report::{series::Series, text::judged},
};

/// The row that has nothing of etcd in it.
const GROWTH: &str = "put on 10 GB against put on nothing, of our own";

/// Writes the table of targets.
pub(super) fn write(page: &mut String, session: &Session) -> Result {
    writeln!(page, "## Targets\n")?;
    writeln!(
        page,
        "Ratios to etcd; the median over {} rounds decides.\n",
        session.flags.rounds
    )?;
    writeln!(page, "| work | figure | target | measured | |")?;
    writeln!(page, "| --- | --- | ---: | ---: | --- |")?;
    for target in TARGETS {
        let (work, figure) = names(session, &target);
        let measured = measured(session, &target);
        writeln!(
            page,
            "| {work} | {figure} | {} | {} | {} |",
            bound(target.bound),
            judged(measured),
            verdict(target.judge(measured)),
        )?;
    }
    writeln!(page)
}

fn names(session: &Session, target: &Target) -> (String, &'static str) {
    match target.evidence {
        Evidence::Ratio { work, metric } => {
            let planned = session.planned(work).map(|work| work.title.clone());
            (planned.unwrap_or_else(|| work.to_owned()), metric.name())
        }
        Evidence::Growth { metric } => (GROWTH.to_owned(), metric.name()),
    }
}

fn measured(session: &Session, target: &Target) -> Option<Spread> {
    match target.evidence {
        Evidence::Ratio { work, metric } => {
            let work = session.planned(work)?;
            Series::of(session, work).ratio(metric)
        }
        Evidence::Growth { metric } => session.growth.as_ref()?.ratio(metric),
    }
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::AtMost(most) => format!("<= {most}"),
        Bound::AtLeast(least) => format!(">= {least}"),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "**MISSED**",
        Verdict::Unmeasured => "not measured",
    }
}
