//! The `millrace` binary: see `cli.rs` for what it takes and `app.rs` for what it runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace::cli::main()
}
