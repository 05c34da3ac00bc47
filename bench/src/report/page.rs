//! The report page: its parts in order.

use std::fmt::{Result, Write};

use crate::{
    compare::session::Session,
    report::{LATENCIES, facts, growth, starts, sweep, verdicts, works},
};

/// The page as Markdown.
#[must_use]
pub fn render(session: &Session) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _written = write_page(&mut page, session);
    page
}

fn write_page(page: &mut String, session: &Session) -> Result {
    writeln!(page, "# Quoin beside etcd\n")?;
    facts::write(page, session)?;
    verdicts::write(page, session)?;
    works::write_ratios(page, session)?;
    sweep::write(page, session)?;
    growth::write(page, session)?;
    starts::write(page, session)?;
    if session.works().any(|work| !work.is_step()) {
        writeln!(
            page,
            "## Latency\n\n![Latency by percentile]({LATENCIES})\n"
        )?;
    }
    for work in session.works().filter(|work| !work.is_step()) {
        works::write(page, session, work)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        compare::{
            growth::Growth,
            metric::Metric,
            plan::{self, Stage},
            round::Round,
            sample::tests::sample,
            system::System,
        },
        machine::Machine,
        ready::Start,
        report::plots,
    };

    fn system(name: &'static str) -> System {
        System {
            name,
            version: format!("{name} 1"),
            binary: name.into(),
        }
    }

    /// One round of one stage, with latencies of so many milliseconds.
    fn round(stage: &Stage, millis: u64) -> Round {
        let samples = stage.works.iter().map(|work| {
            let mut sample = sample(Duration::from_millis(millis), 3);
            sample.set(Metric::Restart, Some(millis as f64));
            sample.set(Metric::Join, Some(2.0 * millis as f64));
            (work.name.clone(), Ok(sample))
        });
        Round {
            members_count: stage.members_count,
            samples: samples.collect(),
            ..Round::default()
        }
    }

    /// A session of some stages in which Quoin takes a tenth of etcd's time.
    fn session(stages: impl FnOnce(Vec<Stage>) -> Vec<Stage>) -> Session {
        let flags = plan::tests::flags();
        let plan = plan::stages(&flags);
        let stages = stages(plan.clone());
        let rounds = [10, 1].map(|millis| {
            let parts = stages.iter().map(|stage| round(stage, millis));
            vec![parts.collect()]
        });
        let start = Start {
            ready: Duration::from_millis(20),
            idle_bytes: 8 << 20,
        };
        Session {
            flags,
            machine: Machine::survey().unwrap(),
            load_after: "0.1".to_owned(),
            systems: [system("etcd"), system("Quoin")],
            plan,
            stages,
            rounds,
            starts: [vec![start], vec![start]],
            growth: None,
        }
    }

    #[test]
    fn a_page_holds_every_target_against_what_was_measured() {
        let page = render(&session(|plan| plan));
        let row = |start: &str| {
            let mut lines = page.lines();
            let found = lines.find(|line| line.starts_with(start));
            found.unwrap_or_default().to_owned()
        };
        let p99 = row("| put, 3 nodes, 1000 clients | latency p99 |");
        assert!(
            p99.ends_with("| <= 0.33 | 0.100 (0.100-0.100) | met |"),
            "{p99}"
        );
        let throughput = row("| put, 3 nodes, 1000 clients | throughput |");
        assert!(
            throughput.ends_with("| 1.000 (1.000-1.000) | **MISSED** |"),
            "{throughput}"
        );
        assert!(row("| 10000 |").contains("| 1.00 (1.00-1.00) |"));
        assert!(row("| restart of a member").contains("| 10.0 (10.0-10.0) |"));
        assert!(row("| join of a new member").contains("| 20.0 (20.0-20.0) |"));
        let names: Vec<_> = plots(&session(|plan| plan))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert!(names.iter().all(|name| page.contains(name)) && names.len() == 2);
    }

    #[test]
    fn growth_is_held_against_its_own_beginning() {
        let mut session = session(|_| Vec::new());
        assert!(render(&session).contains("| >= 0.8 | - | not measured |"));
        let sample = sample(Duration::from_millis(1), 1);
        session.growth = Some(Growth {
            keys_count: 7,
            folder_bytes: 2_000_000_000,
            empty: sample.clone(),
            fill: sample.clone(),
            full: sample.clone(),
            compacting: sample.clone(),
            reads: [sample.clone(), sample],
            restart: Duration::from_secs(3),
            restarted_bytes: 700,
            join: None,
        });
        let page = render(&session);
        assert!(page.contains("| >= 0.8 | 1.000 (1.000-1.000) | met |"));
        assert!(page.contains("2.0 GB") && page.contains("100 bytes for each key"));
        assert!(page.contains("answers: 3.00 s") && page.contains("after -."));
    }

    #[test]
    fn a_part_of_the_plan_leaves_the_rest_unmeasured() {
        let session = session(|plan| plan.into_iter().take(1).collect());
        let page = render(&session);
        assert!(page.contains("| >= 2.5 | - | not measured |"));
        assert!(!page.contains("Offered load"));
        assert_eq!(plots(&session).len(), 1);
    }
}
