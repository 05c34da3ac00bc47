//! The page of regressions names tests that exist, and these name its threads.

use crate::tree::{File, files, none};

const PAGE: &str = "docs/regressions.md";

#[test]
fn every_regression_has_its_test() {
    let files = files();
    let page = files.iter().find(|file| file.path == PAGE).unwrap();
    let rows = page.text.lines().filter(|line| line.starts_with("| #"));
    let mut rows_count = 0;
    let mut complaints = Vec::new();
    for row in rows {
        rows_count += 1;
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (threads, tests) = (cells[1], cells[3]);
        let threads: Vec<_> = threads
            .split(", ")
            .map(|thread| thread.trim_start_matches('#'))
            .collect();
        let named: Vec<_> = tests
            .split('`')
            .filter(|part| part.contains("::"))
            .collect();
        if named.is_empty() {
            complaints.push(format!("{threads:?}: no test"));
        }
        for test in named {
            match introduction(&files, test) {
                None => complaints.push(format!("{test}: there is no such test")),
                Some(text) if !threads.iter().any(|thread| text.contains(thread)) => {
                    complaints.push(format!("{test}: names none of {threads:?}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(rows_count > 20, "the page has {rows_count} rows");
    none("regressions", &complaints);
}

/// Name, attributes and documentation of the test `path::name`.
fn introduction(files: &[File], test: &str) -> Option<String> {
    let (path, name) = test.split_once("::")?;
    let file = files.iter().find(|file| file.path == path)?;
    let lines: Vec<_> = file.text.lines().collect();
    let head = format!("fn {name}(");
    let at = lines.iter().position(|line| line.contains(&head))?;
    let above = lines[..at].iter().rev();
    let above: Vec<_> = above
        .map(|line| line.trim())
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .collect();
    let is_test = above.iter().any(|line| line.contains("test"));
    is_test.then(|| format!("{name} {}", above.join(" ")))
}
