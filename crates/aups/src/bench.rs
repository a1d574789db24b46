//! Measurements of whole servers, made as their users would make them.
//!
//! `revocation` works a private instance in this process. The others measure *contenders*, which are processes of their own: what they are
//! ([`contender`]), what is sent to them ([`workload`]), how ([`generator`]), and what was seen of it ([`recorder`], [`usage`]).

pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod paper;
pub(crate) mod revocation;
pub(crate) mod scale;
pub(crate) mod soak;

pub(crate) mod contender;
pub(crate) mod generator;
pub(crate) mod recorder;
pub(crate) mod usage;
pub(crate) mod workload;

mod connection;
mod draws;
mod lane;
mod machine;
mod numbers;
mod plot;
mod subscriber;
mod timer;
