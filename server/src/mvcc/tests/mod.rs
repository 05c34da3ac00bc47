//! Tests of the store: against a naive model, and rule by rule.

mod changes;
mod compaction;
mod harness;
mod hash;
mod install;
mod model;
mod property;
mod range;
mod transactions;
