//! A sample of what `cargo xtask seals` does at length.

#![cfg(test)]

mod run;

use run::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_and_nonce_come_twice_however_often_nos_and_ktm_are_killed_and_clocks_jump() {
    let found = run(Plan { count: 20_000, nos: 3, seed: 1 }).await.unwrap();
    assert!(found.seals >= 20_000 && found.sessions > 10 && found.keys > 4 && found.jumps > 0, "{found:?}");
    assert_eq!((found.repeated, found.after_exp), (0, 0), "{found:?}");
}
