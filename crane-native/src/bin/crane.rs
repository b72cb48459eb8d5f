//! `crane`: run open language models on this machine.

fn main() -> std::process::ExitCode {
    crane_native::cli::crane()
}
