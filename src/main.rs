//! The process: one crypto provider for every TLS connection, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // It is refused only if there is one already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    oncepay::cli::run()
}
