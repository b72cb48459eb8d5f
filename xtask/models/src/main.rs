//! `xtask-models golden FOLDER...` and `xtask-models table`: what `cargo xtask` runs natively.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> anyhow::Result<std::process::ExitCode> {
    use std::process::ExitCode;

    use crane_native::folder::FolderSource;
    use xtask_models::{golden, table};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["table"] => print!("{}", table::markdown()),
        ["golden", folders @ ..] if !folders.is_empty() => {
            let mut failed = 0;
            for folder in folders {
                let outcome = match FolderSource::open_path(folder) {
                    Ok(source) => golden::run(&source),
                    Err(error) => golden::failed(folder, &error),
                };
                println!("{}", outcome.text);
                failed += usize::from(!outcome.passed);
            }
            println!("{} passed, {failed} failed", folders.len() - failed);
            if failed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        _ => anyhow::bail!("usage: xtask-models golden FOLDER... | xtask-models table"),
    }
    Ok(ExitCode::SUCCESS)
}

/// In wasm the library is all there is; see `golden.mjs`.
#[cfg(target_arch = "wasm32")]
fn main() {}
