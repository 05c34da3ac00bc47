//! File names in the log directory. Sequences are 16 hexadecimal digits, so
//! names sort as the log reads. Unknown names are left alone.

/// A file the log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A segment of the log.
    Segment(u64),
    /// A purged segment kept for reuse; the number only makes it unique.
    Spare(u64),
    /// A segment being prepared; a left-over is deleted at open.
    Unfinished(u64),
}

impl Name {
    /// The name on disk.
    pub(crate) fn to_file_name(self) -> String {
        match self {
            Self::Segment(number) => format!("{number:016x}.wal"),
            Self::Spare(number) => format!("{number:016x}.spare"),
            Self::Unfinished(number) => format!("{number:016x}.new"),
        }
    }

    /// Reads a name; `None` for files that are not the log's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (digits, suffix) = name.split_once('.')?;
        if digits.len() != 16 || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let number = u64::from_str_radix(digits, 16).ok()?;
        match suffix {
            "wal" => Some(Self::Segment(number)),
            "spare" => Some(Self::Spare(number)),
            "new" => Some(Self::Unfinished(number)),
            _ => None,
        }
    }
}

/// File that is locked while the log is open.
pub(crate) const LOCK_FILE_NAME: &str = "LOCK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_foreign_names_are_none() {
        for name in [
            Name::Segment(1),
            Name::Spare(u64::MAX),
            Name::Unfinished(0xab),
        ] {
            assert_eq!(Name::parse(&name.to_file_name()), Some(name));
        }
        for name in [
            "LOCK",
            "1.wal",
            "000000000000000A.wal",
            "0000000000000001.wal.bak",
            "",
        ] {
            assert_eq!(Name::parse(name), None);
        }
    }
}
