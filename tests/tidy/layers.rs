//! Arrows between the modules of the server point down only.
//!
//! The table is the one of ARCHITECTURE.md: a module may use lower layers and
//! what is named beside it, nothing else. Every `crate::` path in the server's
//! sources is checked; test files may look up.

use std::collections::BTreeSet;

use crate::tree::{File, files, none};

/// Module, its layer, and what it may use on its own layer.
const MODULES: &[(&str, u8, &[&str])] = &[
    ("main", 5, &["bootstrap", "shutdown", "local"]),
    ("lib", 5, &[]),
    ("bootstrap", 5, &["shutdown"]),
    ("shutdown", 5, &["bootstrap"]),
    ("local", 5, &["bootstrap", "shutdown"]),
    ("offline", 5, &["bootstrap"]),
    ("duties", 4, &[]),
    ("process", 4, &[]),
    ("listener", 4, &["gateway", "ops", "service"]),
    ("gateway", 4, &["service"]),
    ("ops", 4, &[]),
    ("service", 4, &[]),
    ("apply", 3, &["proposal"]),
    ("proposal", 3, &[]),
    ("watch", 2, &[]),
    ("lease", 2, &[]),
    ("auth", 2, &[]),
    ("cluster", 2, &[]),
    ("alarm", 2, &[]),
    ("etcd_file", 2, &[]),
    ("agreement", 2, &[]),
    ("mvcc", 1, &["backend"]),
    ("backend", 1, &[]),
    ("config", 0, &["base"]),
    ("telemetry", 0, &["config", "base"]),
    ("base", 0, &[]),
    ("bbolt", 0, &[]),
];

#[test]
fn modules_of_the_server_use_only_lower_layers() {
    let mut complaints = Vec::new();
    let files = files();
    let sources: Vec<_> = files.iter().filter(|file| module(file).is_some()).collect();
    assert!(!sources.is_empty(), "no server sources found");
    for file in sources {
        let Some(own) = module(file) else { continue };
        let Some((_, layer, beside)) = MODULES.iter().find(|(name, ..)| *name == own) else {
            complaints.push(format!("{}: module {own} is not in the table", file.path));
            continue;
        };
        for used in used_modules(&file.text) {
            let target = MODULES.iter().find(|(name, ..)| *name == used);
            let allowed = match target {
                _ if used == own => true,
                Some((_, lower, _)) => lower < layer || beside.contains(&used.as_str()),
                // A name re-exported at the crate root, not a module.
                None => used.starts_with(char::is_uppercase),
            };
            if !allowed {
                complaints.push(format!("{} uses crate::{used}", file.path));
            }
        }
    }
    none("arrows that do not point down", &complaints);
}

#[test]
fn the_client_library_does_not_know_the_server() {
    let mut complaints = Vec::new();
    for file in files() {
        let is_tool = file.path.starts_with("client/src/bin/");
        if !file.path.starts_with("client/") || !file.is_source() {
            continue;
        }
        for line in file
            .text
            .lines()
            .filter(|line| line.contains("quoin_server::"))
        {
            // Verbs without a member, and two helpers for texts.
            let allowed = ["offline", "base::error_chain", "telemetry::logs::utc"];
            let named = allowed.map(|name| format!("quoin_server::{name}"));
            if !is_tool || !named.iter().any(|name| line.contains(name)) {
                complaints.push(format!("{}: {}", file.path, line.trim()));
            }
        }
    }
    none("uses of the server in the client", &complaints);
}

/// The top-level module a server source belongs to.
fn module(file: &File) -> Option<&str> {
    let inside = file.path.strip_prefix("server/src/")?;
    let first = inside.split('/').next()?;
    let test = file.path.contains("/tests/") || file.path.ends_with("tests.rs");
    (file.is_source() && !test).then_some(first.strip_suffix(".rs").unwrap_or(first))
}

/// First path segments after `crate::`, groups in braces included.
fn used_modules(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect();
    let code = code.join("\n");
    let mut used = BTreeSet::new();
    let mut parts = code.split("crate::");
    let mut before = parts.next().unwrap_or("");
    for part in parts {
        // `$crate::` and `other_crate::` are no paths of ours.
        let foreign = before.ends_with(|last: char| last.is_alphanumeric() || "_$".contains(last));
        before = part;
        if foreign {
            continue;
        }
        match part.trim_start().strip_prefix('{') {
            Some(group) => used.extend(group_heads(group)),
            None => used.extend(head(part)),
        }
    }
    used
}

/// The first segments of a group's members, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut start = 0;
    for (position, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.extend(head(&group[start..position]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.extend(head(&group[start..position]));
                start = position + 1;
            }
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let head = &path[..end.unwrap_or(path.len())];
    (!head.is_empty()).then(|| head.to_owned())
}

#[test]
fn paths_are_found_in_every_form() {
    let text = "use crate::{mvcc::{A, B}, base::C,\n backend};\nlet x = crate::watch::f();\n\
                // crate::comment\nuse quoin_crate::not; $crate::nor";
    let found: Vec<_> = used_modules(text).into_iter().collect();
    assert_eq!(found, ["backend", "base", "mvcc", "watch"]);
}
