//! The harness behind the suites of this package.

pub mod codegen;
