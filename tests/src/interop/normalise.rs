//! Makes the printed output of two clusters comparable.
//!
//! Words are replaced by kind: ids, addresses, durations, sizes. Runs of
//! blanks and dashes shrink to one, because tables adapt to their content.

/// How much of the output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Everything except what must differ.
    Exact,
    /// Numbers differ as well, and lines come in any order: tables about the
    /// members themselves.
    Shape,
}

/// A member that is out of space.
const FULL: &str = "memberID:#id alarm:NOSPACE";

/// Normalises the output of one command.
#[must_use]
pub fn normalise(output: &str, strictness: Strictness) -> String {
    let mut lines: Vec<_> = output
        .lines()
        .map(|line| line_of(line, strictness))
        .collect();
    if strictness == Strictness::Shape {
        lines.sort();
        // How many members find themselves full first is a matter of luck.
        lines.dedup_by(|one, other| one == other && one.ends_with(FULL));
    }
    lines.join("\n")
}

fn line_of(line: &str, strictness: Strictness) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in line.chars() {
        if letter.is_ascii_alphanumeric() || "./:%".contains(letter) {
            word.push(letter);
            continue;
        }
        words.push(std::mem::take(&mut word));
        words.push(letter.to_string());
    }
    words.push(word);
    let mut line = String::new();
    for word in words.iter().map(|word| replace(word, strictness)) {
        let repeated = [" ", "-", "\u{2500}"].contains(&&*word) && line.ends_with(&*word);
        if !repeated {
            line.push_str(&word);
        }
    }
    for repeated in [FULL, "NOSPACE"] {
        while line.contains(&format!("{repeated} {repeated}")) {
            line = line.replace(&format!("{repeated} {repeated}"), repeated);
        }
    }
    // A number and its unit are two words.
    for unit in ["B", "kB", "MB", "GB"] {
        line = line.replace(&format!("#number {unit}"), "#size");
    }
    line.trim_end().to_owned()
}

fn replace(word: &str, strictness: Strictness) -> String {
    if let Some(rest) = word.strip_prefix(':') {
        return format!(":{}", replace(rest, strictness));
    }
    if let Some(rest) = word.strip_prefix("memberID:") {
        return format!("memberID:{}", replace(rest, strictness));
    }
    let number = !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hex = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let kind = if word.contains("127.0.0.1:") {
        "#address"
    } else if hex && digits > 2 && word.len() >= if number { 11 } else { 10 } {
        "#id"
    } else if is_duration(word) {
        "#duration"
    } else if number && (strictness == Strictness::Shape || word.len() >= 9) {
        "#number"
    } else if strictness == Strictness::Shape && ["true", "false"].contains(&word) {
        "#bool"
    } else if strictness == Strictness::Shape && ["m0", "m1", "m2"].contains(&word) {
        "#name"
    } else if strictness == Strictness::Shape && word.ends_with('%') {
        "#percent"
    } else {
        return word.to_owned();
    };
    kind.to_owned()
}

/// `1.23ms`, `15s`, `3m0.5s`: starts with a digit, ends with a unit of time.
fn is_duration(word: &str) -> bool {
    let inner = word
        .strip_suffix('s')
        .map(|rest| rest.trim_end_matches(['m', 'n']));
    inner.is_some_and(|inner| {
        inner.starts_with(|first: char| first.is_ascii_digit())
            && inner
                .chars()
                .all(|letter| letter.is_ascii_digit() || ".m".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_differ_is_replaced() {
        let line = "lease 694d7e3a1b2c3d4e granted with TTL(100s), took = 1.25ms";
        let expected = "lease #id granted with TTL(#duration), took = #duration";
        assert_eq!(normalise(line, Strictness::Exact), expected);
        let row = "| http://127.0.0.1:2379 | 8e9e05c52164694d |   3.7.3 |  20 kB | true |";
        let expected = "| #address | #id | #number | #size | #bool |";
        assert_eq!(normalise(row, Strictness::Shape), expected);
        let hash = normalise("#address, 3817304120, 10", Strictness::Shape);
        assert_eq!(hash, "#address, #number, #number");
        let full = "memberID:11294028995576578411 alarm:NOSPACE";
        let all = normalise(&format!("{full}\n{full}"), Strictness::Shape);
        assert_eq!(all, FULL);
        assert_eq!(normalise("a 12", Strictness::Exact), "a 12");
    }
}
