//! The program `fwatchdog`.

use std::process::ExitCode;

fn main() -> ExitCode {
    skep_watchdog::program()
}
