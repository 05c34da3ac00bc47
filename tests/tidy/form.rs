//! The form of source files: headers, characters, lengths, paths.

use crate::tree::{files, none};

/// Columns of a line. A line that is one string literal may be longer: texts
/// that others match exactly are not broken.
const LINE_COLUMNS_MAX: usize = 100;

/// Lines of a file; past 500 a second noun is hiding in it.
const FILE_LINES_MAX: usize = 600;

/// Files longer than that, with the length they may not exceed any more. An
/// entry only ever shrinks or goes.
const LONG_FILES: [(&str, usize); 0] = [];

#[test]
fn every_file_starts_with_a_header() {
    let files = files();
    let bare = files
        .iter()
        .filter(|file| file.is_source() && !file.text.starts_with("//! "));
    none(
        "no //! header",
        &bare.map(|file| file.path.clone()).collect::<Vec<_>>(),
    );
}

#[test]
fn source_is_ascii() {
    let mut complaints = Vec::new();
    for file in files() {
        let checked = ["rs", "toml", "proto"]
            .iter()
            .any(|kind| file.path.ends_with(kind));
        for (number, line) in file.text.lines().enumerate() {
            if checked && !line.is_ascii() {
                complaints.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    none("not ASCII", &complaints);
}

#[test]
fn lines_are_short() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        for (number, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            let literal = line.trim_start().starts_with('"');
            if columns > LINE_COLUMNS_MAX && !literal {
                complaints.push(format!("{}:{}: {columns} columns", file.path, number + 1));
            }
        }
    }
    none("lines longer than 100 columns", &complaints);
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        let lines = file.text.lines().count();
        let known = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        let max = known.map_or(FILE_LINES_MAX, |(_, max)| *max);
        if lines > max {
            complaints.push(format!("{}: {lines} lines, at most {max}", file.path));
        }
        if known.is_some() && lines <= FILE_LINES_MAX {
            complaints.push(format!("{}: short enough, take it off the list", file.path));
        }
    }
    none("long files", &complaints);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    // Put together here, so that this file does not match itself.
    let places = [
        ["/ro", "ot/"],
        ["/wo", "rk/"],
        ["/ho", "me/"],
        ["/Use", "rs/"],
    ];
    let places = places.map(|parts| parts.concat());
    let mut complaints = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                complaints.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("paths of one machine", &complaints);
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        for (number, line) in file.text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            if marks
                .iter()
                .any(|mark| comment.contains(mark) && !comment.contains("(#"))
            {
                complaints.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    none("marks without an issue number", &complaints);
}
