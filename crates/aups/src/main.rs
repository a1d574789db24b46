//! `aups`: every role of AUPS in one program, and the command line to them.

mod access;
mod bench;
mod cli;
mod custody;
mod demo;
mod instance;
mod latency;
mod server;
mod settings;
mod source;

fn main() -> std::process::ExitCode {
    cli::main()
}
