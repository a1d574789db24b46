//! Measurements of a whole instance, made as its users would make them.

pub(crate) mod revocation;
