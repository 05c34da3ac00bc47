//! Rules about the tree itself, checked like any other behaviour.

mod generated;
