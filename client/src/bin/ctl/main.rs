//! The quoinctl command line.

fn main() {}
