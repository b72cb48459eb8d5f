//! What only several processes show: two that fetch at once, one that is killed, one whose disk is
//! full, and the environment's variables.
//!
//! Each child is this very program, told by a variable to fetch instead of to test.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crane_native::hub::{Event, Hub};
use crane_native::resolve::resolve;

use crate::server::{Faults, sha256};
use crate::{Machine, leftovers, noise};

/// Fetches the model that the parent names; a test of its own otherwise, which does nothing.
#[test]
fn child() {
    let Ok(model) = std::env::var("CRANE_TEST_CHILD") else { return };
    let report = |event: Event<'_>| {
        if let Event::Notice(sentence) = event {
            println!("notice: {sentence}");
        }
    };
    match Hub::from_env().and_then(|hub| resolve(&model, &hub, &report)) {
        Ok(found) => println!("found: {}", found.path.display()),
        Err(error) => println!("failed {}: {error}", error.exit_code()),
    }
}

fn fetch(machine: &Machine, model: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["children::child", "--exact", "--nocapture"]);
    set(&mut command, machine, model);
    command
}

fn set(command: &mut Command, machine: &Machine, model: &str) {
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command
        .env("CRANE_TEST_CHILD", model)
        .env("HF_ENDPOINT", &machine.hub.endpoint)
        .env("HF_HOME", machine.config.cache_dir.parent().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

fn said(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_processes_fetch_a_model_once() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let slow = Some(Duration::from_millis(5));
    machine.hub.fail("model.safetensors", Faults { slow, ..Faults::default() });
    let children: Vec<_> = (0..2).map(|_| fetch(&machine, "org/tiny").spawn().unwrap()).collect();
    let said: Vec<String> =
        children.into_iter().map(|child| said(child.wait_with_output().unwrap())).collect();
    assert!(said.iter().all(|said| said.contains("found: ")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("another process")), "{said:?}");
    let transfers = machine.hub.transfers().into_iter();
    assert_eq!(transfers.filter(|r| r.path.contains("model.safetensors")).count(), 1);
    let blob = machine.repo().join("blobs").join(sha256(&weights));
    assert_eq!(fs::read(blob).unwrap(), weights);
}

#[test]
fn a_killed_process_leaves_a_part_that_the_next_resumes() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let slow = Some(Duration::from_millis(20));
    machine.hub.fail("model.safetensors", Faults { slow, ..Faults::default() });
    let mut child = fetch(&machine, "org/tiny").spawn().unwrap();
    let partial = machine.repo().join("blobs").join(format!("{}.incomplete", sha256(&weights)));
    while fs::metadata(&partial).map_or(0, |meta| meta.len()) < 20_000 {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(machine.hub().cached(&"org/tiny".parse().unwrap()).unwrap().is_none());
    machine.hub.fail("model.safetensors", Faults::default());
    let said = said(fetch(&machine, "org/tiny").output().unwrap());
    assert!(said.contains("found: "), "{said}");
    let last = machine.hub.transfers().last().cloned().unwrap();
    assert!(last.range.is_some(), "{last:?}");
    assert_eq!(leftovers(&machine.repo()), [""; 0]);
}

#[test]
fn the_environment_is_obeyed() {
    let machine = Machine::new();
    machine.publish_tiny();
    let mut offline = fetch(&machine, "org/tiny");
    let said_offline = said(offline.env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert!(said_offline.contains("failed 3: org/tiny is not cached"), "{said_offline}");
    assert!(machine.hub.log().is_empty());

    let home = machine.config.cache_dir.parent().unwrap();
    fs::create_dir_all(home).unwrap();
    fs::write(home.join("token"), "hf_good\n").unwrap();
    let said_online = said(fetch(&machine, "org/tiny").output().unwrap());
    assert!(said_online.contains("found: "), "{said_online}");
    assert!(machine.repo().join("refs/main").is_file());
    assert_eq!(machine.hub.log()[0].authorization.as_deref(), Some("Bearer hf_good"));
}

/// A small file system of its own stands in for a full disk, where the system allows one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_apart() {
    let machine = Machine::new();
    machine.hub.publish("org/tiny", "main", &[("m.gguf", noise(900_000, 1))]);
    let cache = &machine.config.cache_dir;
    fs::create_dir_all(cache).unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$0\" && exec \"$@\"";
    let mut small = Command::new("unshare");
    small.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(cache);
    small.arg(std::env::current_exe().unwrap());
    small.args(["children::child", "--exact", "--nocapture"]);
    set(&mut small, &machine, "org/tiny");
    let Ok(output) = small.output() else { return println!("skipped: there is no unshare") };
    if !output.status.success() {
        return println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = said(output);
    assert!(said.contains("failed 1: no space left for"), "{said}");
    assert!(said.contains("bytes are needed"), "{said}");
}
