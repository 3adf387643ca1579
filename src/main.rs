//! The `millrace` binary: `cli.rs` reads the command line, `app/` runs the service.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace::cli::main()
}
