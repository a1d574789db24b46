//! `cargo xtask seals`: many messages sealed at once, and whether a key and a nonce come twice.

#[path = "../tests/seals/run.rs"]
mod run;

use run::{Plan, run};
use std::{error::Error, time::Instant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let numbers = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<u64>, _>>()?;
    let [count, nos, seed] = numbers[..] else { return Err("usage: seals COUNT NOS SEED".into()) };
    let plan = Plan { count: usize::try_from(count)?, nos: u8::try_from(nos)?, seed };
    let started = Instant::now();
    let found = run(plan).await.map_err(|error| error.to_string())?;
    println!(
        "{} messages in {:.0} s by {nos} NOSs, in {} sessions under {} keys, {} jumps of clocks of up to ten minutes",
        found.seals,
        started.elapsed().as_secs_f64(),
        found.sessions,
        found.keys,
        found.jumps,
    );
    println!("repeated (key, nonce): {}; sealed after the key's time: {}", found.repeated, found.after_exp);
    if found.repeated > 0 || found.after_exp > 0 { Err("that must not be".into()) } else { Ok(()) }
}
