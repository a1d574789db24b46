//! One program per target, all of this text: the program's name is the target's.
#![no_main]

use aups_fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> =
    LazyLock::new(|| aups_fuzz::target(env!("CARGO_BIN_NAME")).expect("the program is called like a target"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
