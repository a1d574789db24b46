//! The sealed message of AUPS: formats, key schedule, key requests, acceptance rules. The only crate that calls cryptography
