//! Rules about the tree itself, checked like any other behaviour.
//!
//! They hold for every tracked file; generated code is exempt from the rules
//! of form. A rule that must be broken somewhere is broken here, by name.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

mod form;
mod generated;
mod layers;
mod regressions;
mod tree;
