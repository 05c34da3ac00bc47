//! Byte strings in quotes, as Go writes and reads them.
//!
//! `fields` output and the transaction language quote this way. Bytes that are
//! not UTF-8 and characters that are not printable become escapes.

/// `bytes` in double quotes.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(&mut text, character);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

fn push_character(text: &mut String, character: char) {
    match character {
        '"' | '\\' => text.extend(['\\', character]),
        '\x07' => text.push_str("\\a"),
        '\x08' => text.push_str("\\b"),
        '\x0c' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\x0b' => text.push_str("\\v"),
        ' '..='~' => text.push(character),
        '\0'..='\x7f' => text.push_str(&format!("\\x{:02x}", u32::from(character))),
        _ if is_printable(character) => text.push(character),
        '\0'..='\u{ffff}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => text.push_str(&format!("\\U{:08x}", u32::from(character))),
    }
}

/// Letters, marks, numbers, punctuation, symbols.
fn is_printable(character: char) -> bool {
    // U+FFFD stands for itself where it was written as such.
    !character.is_whitespace() && (character.is_alphanumeric() || !needs_escape(character))
}

fn needs_escape(character: char) -> bool {
    character.escape_debug().len() > 1
}

/// Reads a quoted string at the start of `text`: its bytes and what follows it.
/// `None` if there is none or it has no end.
pub(crate) fn unquote_prefix(text: &str) -> Option<(Vec<u8>, &str)> {
    let body = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    let mut rest = body;
    loop {
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        match character {
            '"' => return Some((bytes, rest)),
            '\n' => return None,
            '\\' => rest = unescape(rest, &mut bytes)?,
            _ => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

/// Reads one escape after its backslash; returns what follows.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    let number = |digits: usize, radix: u32, text: &'a str| -> Option<(u32, &'a str)> {
        let value = u32::from_str_radix(text.get(..digits)?, radix).ok()?;
        Some((value, &text[digits..]))
    };
    let simple = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' | '"' => kind as u8,
        'x' => {
            let (value, rest) = number(2, 16, rest)?;
            bytes.push(u8::try_from(value).ok()?);
            return Some(rest);
        }
        '0'..='7' => {
            let (value, rest) = number(3, 8, text)?;
            bytes.push(u8::try_from(value).ok()?);
            return Some(rest);
        }
        'u' | 'U' => {
            let (value, rest) = number(if kind == 'u' { 4 } else { 8 }, 16, rest)?;
            bytes.extend(char::from_u32(value)?.encode_utf8(&mut [0; 4]).bytes());
            return Some(rest);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_cannot_be_read() {
        for (bytes, text) in [
            (&b"plain"[..], "\"plain\""),
            (b"a\"b\\c\n", r#""a\"b\\c\n""#),
            (b"\x00\x7f\xff", r#""\x00\x7f\xff""#),
            (
                "\u{e9}\u{200b}\u{a0}".as_bytes(),
                "\"\u{e9}\\u200b\\u00a0\"",
            ),
        ] {
            assert_eq!(quote(bytes), text);
        }
    }

    #[test]
    fn what_was_quoted_reads_back() {
        for bytes in [
            &b""[..],
            b"a\"b\\c\n\t",
            b"\x00\xff\xfe",
            "\u{1f600} \u{e9}".as_bytes(),
        ] {
            let text = format!("{} rest", quote(bytes));
            assert_eq!(unquote_prefix(&text), Some((bytes.to_vec(), " rest")));
        }
        for text in ["", "a", "\"a", r#""\q""#, r#""\x4"#] {
            assert_eq!(unquote_prefix(text), None, "{text:?}");
        }
    }
}
