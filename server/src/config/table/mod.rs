//! Every flag by name: its grammar, default, whether it acts here, its help.
//!
//! The table is complete for etcd 3.7, so that a manifest written for etcd is
//! either obeyed or refused by name, plus Quoin's own flags. Defaults are text,
//! as an operator would type them; an empty default means "not set".

mod clustering;
mod member;
mod observability;
mod security;

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) support: Support,
    pub(crate) help: &'static str,
}

/// The grammar of a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Text,
    /// A boolean; a value only with `=`.
    Bool,
    /// An unsigned integer.
    Unsigned,
    /// An unsigned integer below 2^32, with the error of its own parser.
    Unsigned32,
    /// A signed integer.
    Signed,
    /// A Go duration.
    Duration,
    /// Comma-separated member URLs.
    Urls,
    /// Comma-separated origins, each a URL or `*`.
    Origins,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, where the refusal repeats the value.
    QuotedWord(&'static [&'static str]),
    /// A log level.
    Level,
    /// `Name=bool,...`.
    Gates,
    /// Anything, or nothing, without effect: names from etcd's distant past.
    Ignored,
}

/// What setting a flag does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// It acts.
    Honoured,
    /// Accepted and said in one log line to have no effect: it tunes a part of
    /// etcd that has no counterpart.
    Ineffective,
    /// The feature is absent: only the default is accepted.
    Absent,
    /// Etcd's ancient no-ops, silently accepted as etcd does.
    Silent,
}

/// A heading of the help text and its flags.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) flags: &'static [Flag],
}

/// All flags, in the order of the help text.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Member",
        flags: member::MEMBER,
    },
    Section {
        title: "Storage",
        flags: member::STORAGE,
    },
    Section {
        title: "Requests",
        flags: member::REQUESTS,
    },
    Section {
        title: "Clustering",
        flags: clustering::CLUSTERING,
    },
    Section {
        title: "Discovery",
        flags: clustering::DISCOVERY,
    },
    Section {
        title: "Security",
        flags: security::SECURITY,
    },
    Section {
        title: "Auth",
        flags: security::AUTH,
    },
    Section {
        title: "Logging and monitoring",
        flags: observability::OBSERVABILITY,
    },
    Section {
        title: "Features",
        flags: observability::FEATURES,
    },
    Section {
        title: "Unsafe",
        flags: observability::UNSAFE,
    },
];

/// The flag of this name.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.name == name)
}

/// Every flag.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> {
    SECTIONS
        .iter()
        .flat_map(|section| section.flags)
        .chain(observability::HIDDEN)
}

const fn honoured(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    flag(Support::Honoured, name, kind, default, help)
}

const fn ineffective(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    flag(Support::Ineffective, name, kind, default, help)
}

const fn absent(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    flag(Support::Absent, name, kind, default, help)
}

const fn flag(
    support: Support,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        kind,
        default,
        support,
        help,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_name_is_listed_twice() {
        let mut seen = HashSet::new();
        for flag in super::all() {
            assert!(seen.insert(flag.name), "{}", flag.name);
        }
    }
}
