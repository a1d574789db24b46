//! The subscriber SDK: enrol, subscribe, obtain keys, open, filter
