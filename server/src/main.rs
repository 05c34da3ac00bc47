//! The quoin server binary.

fn main() {}
