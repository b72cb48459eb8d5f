//! `cargo xtask setup`: what a fresh machine with Rust and Node lacks, installed once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, find_program};
use crate::{clients, listening, wasm_std, weights};

/// What a step found or did, and where.
#[derive(Debug)]
pub enum Outcome {
    /// It was there; nothing was done.
    Present(String),
    /// It was installed just now.
    Installed(String),
}

/// One thing that a machine must have.
pub struct Step {
    /// What it is, for messages.
    pub name: &'static str,
    work: fn() -> Result<Outcome>,
}

/// Everything that set-up sees to, in order.
///
/// wasm-bindgen is not here: `xtask-bindgen` is its command line, built from `Cargo.lock`.
pub const STEPS: &[Step] = &[
    Step { name: "wasm32 standard library", work: wasm_std::install },
    Step { name: "Node and npm", work: install_node },
    Step { name: "npm packages of npm/", work: || install_packages("npm") },
    Step { name: "npm packages of npm/reference/", work: || install_packages("npm/reference") },
    Step { name: "npm packages of web/", work: || install_packages("web") },
    Step {
        name: "OpenAI's and Ollama's clients for JavaScript",
        work: || install_packages("xtask/clients"),
    },
    Step { name: "ALSA's headers, for `--features play`", work: install_alsa },
    Step { name: "headless Chromium", work: install_chromium },
    Step { name: "headless Firefox", work: install_firefox },
    Step { name: "HAProxy", work: install_haproxy },
    Step { name: "test weights", work: weights::fetch },
    Step {
        name: "Python clients of OpenAI, Anthropic, Ollama and LangChain",
        work: clients::install,
    },
    Step { name: "schemathesis", work: clients::install_schemathesis },
    Step { name: "a speech recogniser", work: listening::install },
];

impl Step {
    /// Does the step and says on the terminal what came of it.
    pub fn perform(&self) -> Result<()> {
        match (self.work)().with_context(|| format!("set-up of {}", self.name))? {
            Outcome::Present(place) => println!("present    {}: {place}", self.name),
            Outcome::Installed(place) => println!("installed  {}: {place}", self.name),
        }
        Ok(())
    }
}

/// What the pages need, which is less than what the tests need.
pub fn for_pages() -> Result<()> {
    let needed = [
        "wasm32 standard library",
        "Node and npm",
        "npm packages of npm/",
        "npm packages of web/",
        "test weights",
    ];
    STEPS.iter().filter(|step| needed.contains(&step.name)).try_for_each(Step::perform)
}

/// Does every step, also when one before it fails.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for step in STEPS {
        if let Err(error) = step.perform() {
            println!("FAILED     {error:#}");
            failed.push(step.name);
        }
    }
    if !failed.is_empty() {
        bail!("not set up: {}", failed.join(", "));
    }
    Ok(())
}

/// The Chromium that the browser tests start: `$CHROMIUM`, or the first of the usual names on PATH.
pub fn chromium() -> Option<PathBuf> {
    if let Some(named) = named("CHROMIUM") {
        return Some(named);
    }
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .into_iter()
        .find_map(find_program)
}

/// What a variable of the environment names.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// Whether sound output can be built here.
pub fn can_play() -> bool {
    let mut question = process::command("pkg-config");
    !cfg!(target_os = "linux") || process::output(question.args(["--exists", "alsa"])).is_ok()
}

fn install_alsa() -> Result<Outcome> {
    if can_play() {
        return Ok(Outcome::Present("found".to_owned()));
    }
    for package in ["pkg-config", "libasound2-dev"] {
        apt_install(package)?;
    }
    Ok(Outcome::Installed("libasound2-dev".to_owned()))
}

fn install_chromium() -> Result<Outcome> {
    install_program(chromium, "CHROMIUM", "chromium")
}

/// The Firefox that the browser tests start: `$FIREFOX`, or the first of the usual names on PATH.
pub fn firefox() -> Option<PathBuf> {
    if let Some(named) = named("FIREFOX") {
        return Some(named);
    }
    ["firefox-esr", "firefox"].into_iter().find_map(find_program)
}

fn install_firefox() -> Result<Outcome> {
    install_program(firefox, "FIREFOX", "firefox-esr")
}

/// The HAProxy that stands before replicas in a test: `$HAPROXY`, or the one on PATH or among the system's programs.
pub fn haproxy() -> Option<PathBuf> {
    if let Some(named) = named("HAPROXY") {
        return Some(named);
    }
    // Debian installs it where the PATH of users does not look.
    let of_the_system = || Some(PathBuf::from("/usr/sbin/haproxy")).filter(|file| file.is_file());
    find_program("haproxy").or_else(of_the_system)
}

fn install_haproxy() -> Result<Outcome> {
    install_program(haproxy, "HAPROXY", "haproxy")
}

/// A program that `$VARIABLE` may name; where there is none, Debian's package brings it.
fn install_program(
    find: fn() -> Option<PathBuf>,
    variable: &str,
    package: &str,
) -> Result<Outcome> {
    if let Some(program) = find() {
        if !program.is_file() {
            bail!("${variable} is {}, and that is no file", program.display());
        }
        return Ok(Outcome::Present(program.display().to_string()));
    }
    apt_install(package)?;
    let program =
        find().with_context(|| format!("apt-get installed {package}, but it is not on PATH"))?;
    Ok(Outcome::Installed(program.display().to_string()))
}

fn install_node() -> Result<Outcome> {
    let mut installed = false;
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        if find_program(program).is_none() {
            apt_install(package)?;
            installed = true;
        }
    }
    let version = process::output(process::command("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|v| v.parse().ok());
    if major.is_none_or(|major: u32| major < 20) {
        bail!("Node {version} is too old; install Node 20 or newer");
    }
    let found = format!("node {version}");
    Ok(if installed { Outcome::Installed(found) } else { Outcome::Present(found) })
}

/// `npm ci`, unless what is in node_modules was made from this very lock file.
fn install_packages(folder: &str) -> Result<Outcome> {
    let folder_path = process::root().join(folder);
    let lock_file = folder_path.join("package-lock.json");
    let lock =
        std::fs::read(&lock_file).with_context(|| format!("reading {}", lock_file.display()))?;
    let stamp = folder_path.join("node_modules/.installed-from.json");
    let place = format!("{folder}/node_modules");
    if std::fs::read(&stamp).is_ok_and(|from| from == lock) {
        return Ok(Outcome::Present(place));
    }
    process::run(process::command("npm").args([
        "ci",
        "--prefix",
        folder,
        "--no-audit",
        "--no-fund",
    ]))?;
    std::fs::create_dir_all(folder_path.join("node_modules"))?;
    std::fs::write(&stamp, lock).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(Outcome::Installed(place))
}

/// Installs a Debian package, as root or through a sudo that asks for no password.
pub fn apt_install(package: &str) -> Result<()> {
    let Some(apt) = find_program("apt-get") else {
        bail!(
            "{package} is missing and there is no apt-get here; install it with your system's packages"
        );
    };
    let privileged = privileged_prefix()
        .with_context(|| format!("{package} is missing; install it: apt-get install {package}"))?;
    let apt_get = |arguments: &[&str]| {
        let mut words = privileged.iter().map(PathBuf::as_path).chain([apt.as_path()]);
        let mut command = process::command(words.next().unwrap_or(Path::new("apt-get")));
        command.args(words).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(&mut apt_get(&["-q", "update"]))?;
    process::run(&mut apt_get(&["-q", "install", "-y", "--no-install-recommends", package]))
}

/// What has to stand before a command that changes the system: nothing for root, else `sudo -n`.
fn privileged_prefix() -> Result<Vec<PathBuf>> {
    if process::output(process::command("id").arg("-u"))? == "0" {
        return Ok(Vec::new());
    }
    if let Some(sudo) = find_program("sudo") {
        let asks_nothing = process::succeeds_within(
            process::command(&sudo).args(["-n", "true"]),
            Duration::from_secs(10),
        );
        if asks_nothing {
            return Ok(vec![sudo, PathBuf::from("-n")]);
        }
    }
    bail!("that needs root, and sudo asks for a password")
}
