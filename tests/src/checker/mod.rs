//! Judges of recorded histories: what a store promised, and whether it kept it.
//!
//! A judge knows no server and no clock: it is given what clients saw and says
//! which promise was broken, or that none was. [`linearizable`] searches for an
//! order of operations that explains every answer, and needs nothing but the
//! answers; [`replay`] is told the order by the store's own revisions and checks
//! that they tell the truth, in linear time; [`watch`], [`lease`] and [`lock`]
//! judge the guarantees of those services.

pub mod lease;
pub mod linearizable;
pub mod lock;
pub mod operation;
pub mod register;
pub mod replay;
pub mod watch;
