//! Tests of the watch rules.
