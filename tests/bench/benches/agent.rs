//! `cargo bench`: see the package's README for what is measured and against what.

use std::process::ExitCode;

fn main() -> ExitCode {
    match terminal_bench::main(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
