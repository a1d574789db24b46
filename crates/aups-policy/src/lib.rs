//! Who may read what: admission, decisions, scopes and filter coverage on Cedar. No I/O
