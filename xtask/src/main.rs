//! The project's own commands, run as `cargo xtask <command>`: one way to do a thing, the same for people and for CI.

mod api;
mod bench;
mod budget;
mod command;
mod crash;
mod deny;
mod figures;
mod fuzz;
mod layers;
mod links;
mod packages;
mod performance;
mod seals;
mod test;
mod threats;
mod vectors;

use std::process::ExitCode;

const USAGE: &str = "\
The project's own commands.

usage: cargo xtask <command>

commands:
  test              everything that CI runs: installs what the tests need (it says so first), then formatting,
                    links, threats and their tests, layers, clippy with warnings denied, rustdoc, test vectors, doc tests, all other tests
  layers            only the rules on what a crate may depend on (ARCHITECTURE.md)
  vectors           writes testvectors/ again from the code
  vectors --check   fails if that changes anything
  figures           writes the figures in docs/guide/scores.md again from the code
  fuzz [TARGET…]    feeds what reads foreign bytes with libFuzzer, each target for --seconds N (60); all, if none is named
  api [OPTION…]     asks a server of its own all that its description of the HTTP API allows, and more: no 5xx, nothing
                    undocumented (--examples N, --seed N); brings Schemathesis into a Python environment of its own
  seals [OPTION…]   ten million messages by NOSs that are killed and whose clocks jump: no key and nonce may come twice
                    (--count N, --nos N, --seed N)
  crash [OPTION…]   kills a server under load, again and again: what was answered 202 must be delivered, under one id
                    (--kills N, --mode kill|power, --seed N, --debug)
  bench [OPTION…]   a server under load beside the same without AUPS and other yardsticks, in one run; prints ratios
                    (--rounds N, --duration S and all of `aups bench load`; figures go to bench/results/)
  budget [STAGE…]   the instructions and allocations of each stage of a message's way, counted under callgrind, against
                    bench/budgets.toml (--write, --json)
  performance [NAME…]
                    measures what docs/performance.md shows, keeps it in bench/figures/ and writes the document
                    (--list, --write only writes it, --check fails if that changes it)
  flood [OPTION…]   attacks a server at ten times the load of honest sources, who must not notice
                    (--rate N, --times N, --seconds S)
  soak [OPTION…]    an hour under load with keys of 5 seconds: nothing lost, nobody refused or let in who should not be, no
                    growth (what `aups bench soak` takes: --duration 1h, --rate N, --life 5s, --json)
  help              this text

exit codes: 0 done, 1 failed, 2 usage";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["test"] => test::run(),
        ["layers"] => layers::run().and_then(|()| deny::run()),
        ["vectors"] => vectors::write(),
        ["vectors", "--check"] => vectors::check(),
        ["figures"] => figures::write(),
        ["fuzz", options @ ..] if !options.contains(&"--help") => fuzz::run(options),
        ["api", options @ ..] if !options.contains(&"--help") => api::run(options),
        ["seals", options @ ..] if !options.contains(&"--help") => seals::run(options),
        ["crash", options @ ..] if !options.contains(&"--help") => crash::run(options),
        ["flood", options @ ..] if !options.contains(&"--help") => bench::flood(options),
        ["performance", options @ ..] if !options.contains(&"--help") => performance::run(options),
        ["budget", options @ ..] if !options.contains(&"--help") => budget::run(options),
        ["soak", options @ ..] if !options.contains(&"--help") => bench::soak(options),
        ["bench", options @ ..] if !options.contains(&"--help") => bench::run(options),
        ["help" | "--help" | "-h"] | [_, "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("unknown: `cargo xtask {}`\n\n{USAGE}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
