//! `qwenchat`: chat with Qwen2.5.

fn main() -> std::process::ExitCode {
    crane_native::cli::qwenchat()
}
