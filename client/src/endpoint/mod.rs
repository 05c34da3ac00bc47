//! Which member to ask.
//!
//! [`address`] reads what the user wrote, [`health`] remembers how an endpoint
//! fared, [`balancer`] picks the next one to ask.

mod address;
mod balancer;
mod health;

pub(crate) use address::parse;
pub(crate) use balancer::{Balancer, Endpoint};
