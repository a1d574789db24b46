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

/// An item is allocated by the connection that brings it and freed by the pipeline: not what the system's allocator is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
