//! `aups`: every role of AUPS in one program, and the command line to them.

mod cli;
mod demo;
mod server;
mod settings;
mod source;

fn main() -> std::process::ExitCode {
    cli::main()
}
