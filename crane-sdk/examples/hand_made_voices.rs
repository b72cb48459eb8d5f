//! Writes the tests' hand-made speech models into `FOLDER/orpheus` and `FOLDER/spark`: `hand_made_voices FOLDER`.
//!
//! They have the layout of the published ones and speak in their tokens; the tests in a browser say what the native program says.

#![allow(clippy::unwrap_used, reason = "a tool of the tests fails by panicking")]

#[path = "../tests/support/orpheus.rs"]
mod orpheus;
#[path = "../tests/support/spark.rs"]
mod spark;

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap());
    for (model, files) in [("orpheus", orpheus::files()), ("spark", spark::files())] {
        for (name, bytes) in files {
            let path = folder.join(model).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
