//! `llmbench`: measure a model's speed.

fn main() -> std::process::ExitCode {
    crane_native::cli::llmbench()
}
