//! What asks `crane serve` in tests: official clients, bad requests, schemathesis, and a proxy before replicas.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::python::Environment;
use crate::setup::{self, Outcome};

const PYTHON: Environment =
    Environment { name: "clients", requirements: "xtask/clients/requirements.txt" };
const SCHEMATHESIS: Environment =
    Environment { name: "schemathesis", requirements: "xtask/clients/schemathesis.txt" };
/// The models that answer, among the test weights: one for chat, one for tools, one that speaks, one that makes vectors.
const MODELS: [&str; 4] = [
    "smollm2-135m-instruct-q4_1.gguf",
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "hibari",
    "minilm",
];
/// A checkpoint of the repository whose replies take no time.
const TINY: &str = "crane-sdk/tests/fixtures/qwen2_tied";

/// Installs the clients for Python.
pub fn install() -> Result<Outcome> {
    PYTHON.install()
}

/// Installs what makes up requests from an OpenAPI document.
pub fn install_schemathesis() -> Result<Outcome> {
    SCHEMATHESIS.install()
}

/// The tests of the official clients, with a `crane` built for them.
pub fn conformance() -> Result<Command> {
    let folder =
        process::output(process::command("python3").args(["xtask/weights.py", "--folder"]))?;
    let models = MODELS.map(|name| PathBuf::from(&folder).join(name));
    if let Some(missing) = models.iter().find(|model| !model.exists()) {
        bail!("{} is missing; `cargo xtask setup` fetches it", missing.display());
    }
    let crane = crane()?;
    let mut tests = process::command(PYTHON.program()?);
    tests.arg("xtask/clients/conformance.py");
    tests.arg(crane).args(models);
    Ok(tests)
}

/// Ten thousand requests, most of them bad in some way, to a server with a tiny model.
pub fn robustness() -> Result<Command> {
    let mut storm = process::command("python3");
    storm.arg("xtask/clients/robustness.py").arg(crane()?).arg(TINY);
    Ok(storm)
}

/// A minute of requests that are made up from the server's OpenAPI document.
pub fn schemas() -> Result<Command> {
    let mut schemas = process::command("python3");
    schemas.arg("xtask/clients/schemas.py").arg(SCHEMATHESIS.folder()?.join("bin/schemathesis"));
    schemas.arg(crane()?).arg(TINY);
    Ok(schemas)
}

/// Two replicas of a server with a tiny model behind HAProxy.
pub fn replicas() -> Result<Command> {
    let Some(haproxy) = setup::haproxy() else {
        bail!("HAProxy is missing; `cargo xtask setup` installs it");
    };
    let mut replicas = process::command("python3");
    replicas.arg("xtask/clients/replicas.py").arg(crane()?).arg(TINY).arg(haproxy);
    Ok(replicas)
}

/// A `crane` of this very source.
pub fn crane() -> Result<PathBuf> {
    process::built("crane")
}
