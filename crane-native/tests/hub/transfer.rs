//! Transfers from the Hub: fresh, cached, resumed, damaged, refused.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crane_native::Error;
use crane_native::hub::{ModelId, Silent};
use crane_sdk::source::Source;

use crate::server::{Faults, Gate, sha256};
use crate::{Machine, Recorder, leftovers, noise, tiny};

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

#[test]
fn a_fresh_model_lands_in_the_shared_layout() {
    let machine = Machine::new();
    let (weights, commit) = machine.publish_tiny();
    let recorder = Recorder::default();
    let snapshot = machine.hub().get(&id("org/tiny"), &recorder).unwrap();
    assert_eq!(snapshot.files, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(snapshot.commit, commit);

    // What huggingface_hub would have made of it.
    let repo = machine.repo();
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), commit);
    let file = repo.join("snapshots").join(&commit).join("model.safetensors");
    assert_eq!(fs::read(&file).unwrap(), weights);
    let blob = Path::new("../../blobs").join(sha256(&weights));
    #[cfg(unix)]
    assert_eq!(fs::read_link(&file).unwrap(), blob);
    assert!(file.parent().unwrap().join(blob).is_file());
    assert_eq!(leftovers(&machine.config.cache_dir), [""; 0]);

    let source = snapshot.source();
    assert_eq!(source.label(), "org/tiny");
    assert_eq!(&*source.open("model.safetensors").unwrap().read_all().unwrap(), &weights[..]);
    assert!(source.open("README.md").is_err(), "it is no part of the model");
    let last = recorder.loaded.lock().unwrap().last().cloned();
    assert_eq!(last, Some(("model.safetensors".to_owned(), 300_000, 300_000)));
}

#[test]
fn a_cached_model_needs_no_network() {
    let machine = Machine::new();
    machine.publish_tiny();
    let first = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    let requests = machine.hub.log().len();
    assert_eq!(machine.hub().get(&id("org/tiny"), &Silent).unwrap(), first);
    assert_eq!(machine.hub.log().len(), requests);

    let offline = machine.with(|config| {
        config.offline = true;
        config.endpoint = "http://127.0.0.1:1".to_owned();
    });
    assert_eq!(offline.get(&id("org/tiny"), &Silent).unwrap(), first);
    let missing = offline.get(&id("org/other"), &Silent).unwrap_err();
    assert!(matches!(missing, Error::Offline { .. }), "{missing}");
    assert_eq!(missing.exit_code(), 3);
}

#[test]
fn what_another_program_fetched_in_part_is_completed() {
    let machine = Machine::new();
    machine.publish_tiny();
    let whole = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    // As transformers leaves a model of which only the weights were loaded.
    let tokenizer = whole.folder.join("tokenizer.json");
    fs::remove_file(&tokenizer).unwrap();
    let unreachable = machine.with(|config| config.endpoint = "http://127.0.0.1:1".to_owned());
    assert_eq!(unreachable.get(&id("org/tiny"), &Silent).unwrap().files.len(), 2);
    assert_eq!(machine.hub().get(&id("org/tiny"), &Silent).unwrap(), whole);
    assert!(tokenizer.is_file());
}

#[test]
fn a_model_without_a_tokenizer_is_asked_about_once() {
    let machine = Machine::new();
    let files = [("config.json", b"{}".to_vec()), ("model.safetensors", noise(3_000, 3))];
    let commit = machine.hub.publish("org/tiny", "main", &files);
    machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert!(machine.repo().join(".no_exist").join(commit).join("tokenizer.json").is_file());
    let requests = machine.hub.log().len();
    machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(machine.hub.log().len(), requests);
}

#[test]
fn a_pull_fetches_only_what_changed() {
    let machine = Machine::new();
    let (weights, old) = machine.publish_tiny();
    machine.hub().pull(&id("org/tiny"), &Silent).unwrap();
    let mut files = tiny(&weights);
    files[1].1 = br#"{"architectures": ["Qwen2ForCausalLM"]}"#.to_vec();
    let new = machine.hub.publish("org/tiny", "main", &files);
    let transfers = machine.hub.transfers().len();
    let snapshot = machine.hub().pull(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(snapshot.commit, new);
    assert_eq!(machine.hub.transfers().len(), transfers, "the weights are the same blob");
    assert!(machine.repo().join("snapshots").join(old).is_dir(), "the old revision stays");
}

#[test]
fn a_revision_is_fetched_and_kept_apart() {
    let machine = Machine::new();
    machine.publish_tiny();
    let other = noise(5_000, 9);
    let commit = machine.hub.publish("org/tiny", "refs/pr/1", &tiny(&other));
    let snapshot = machine.hub().get(&id("org/tiny@refs/pr/1"), &Silent).unwrap();
    assert_eq!(snapshot.commit, commit);
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), other);
    assert!(machine.hub().cached(&id("org/tiny")).unwrap().is_none());
    let by_commit = machine.hub().cached(&id(&format!("org/tiny@{commit}"))).unwrap();
    assert_eq!(by_commit.map(|found| found.commit), Some(commit));

    let missing = machine.hub().get(&id("org/tiny@v9"), &Silent).unwrap_err();
    assert!(missing.to_string().contains("revision"), "{missing}");
    assert_eq!(missing.exit_code(), 3);
}

#[test]
fn an_index_brings_its_shards() {
    let machine = Machine::new();
    let index = br#"{"weight_map": {"a": "m-1.safetensors", "b": "part/m-2.safetensors"}}"#;
    let files = [
        ("config.json", b"{}".to_vec()),
        ("m-1.safetensors", noise(3_000, 3)),
        ("part/m-2.safetensors", noise(4_000, 4)),
        ("unused.safetensors", noise(5_000, 5)),
        ("model.safetensors.index.json", index.to_vec()),
    ];
    machine.hub.publish("org/tiny", "main", &files);
    let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    let expected =
        ["config.json", "m-1.safetensors", "model.safetensors.index.json", "part/m-2.safetensors"];
    assert_eq!(snapshot.files, expected);
    assert_eq!(fs::read(snapshot.folder.join("part/m-2.safetensors")).unwrap(), files[2].1);
    assert_eq!(machine.hub().cached(&id("org/tiny")).unwrap(), Some(snapshot.clone()));

    fs::remove_file(snapshot.folder.join("part/m-2.safetensors")).unwrap();
    assert_eq!(machine.hub().cached(&id("org/tiny")).unwrap(), None, "a shard is missing");

    machine.hub.publish(
        "org/tiny",
        "main",
        &[files[0].clone(), files[4].clone(), files[1].clone()],
    );
    let missing = machine.hub().pull(&id("org/tiny"), &Silent).unwrap_err();
    assert!(missing.to_string().contains("part/m-2.safetensors"), "{missing}");
}

#[test]
fn one_quantisation_is_fetched_from_many() {
    let machine = Machine::new();
    let files = [
        ("m-q8_0.gguf", noise(3_000, 3)),
        ("m-q4_k_m-00001-of-00002.gguf", noise(3_000, 4)),
        ("m-q4_k_m-00002-of-00002.gguf", noise(3_000, 5)),
    ];
    machine.hub.publish("org/tiny", "main", &files);
    let usual = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(usual.files, ["m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf"]);
    for name in ["org/tiny:Q8_0", "org/tiny:m-q8_0.gguf"] {
        assert_eq!(machine.hub().get(&id(name), &Silent).unwrap().files, ["m-q8_0.gguf"]);
    }
    let missing = machine.hub().get(&id("org/tiny:q2_k"), &Silent).unwrap_err();
    assert!(missing.to_string().contains("m-q8_0.gguf"), "{missing}");
}

#[test]
fn a_dropped_connection_is_resumed_where_it_broke() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let faults = Faults { drop_after: vec![100_000, 50_000], ..Faults::default() };
    machine.hub.fail("model.safetensors", faults);
    let recorder = Recorder::default();
    let snapshot = machine.hub().get(&id("org/tiny"), &recorder).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
    let ranges: Vec<_> = weight_requests(&machine);
    assert_eq!(ranges, [None, Some("bytes=100000-".into()), Some("bytes=150000-".into())]);
    assert!(recorder.notices().contains("resuming"), "{}", recorder.notices());
}

#[test]
fn a_connection_that_falls_silent_is_resumed() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let (drop_after, stall) = (vec![100_000], Some(Duration::from_secs(60)));
    machine.hub.fail("model.safetensors", Faults { drop_after, stall, ..Faults::default() });
    let hub = machine.with(|config| config.read_timeout = Duration::from_millis(500));
    let snapshot = hub.get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
    assert_eq!(weight_requests(&machine), [None, Some("bytes=100000-".into())]);
}

fn weight_requests(machine: &Machine) -> Vec<Option<String>> {
    let transfers = machine.hub.transfers().into_iter();
    transfers.filter(|r| r.path.contains("model.safetensors")).map(|r| r.range).collect()
}

#[test]
fn a_transfer_that_never_gets_on_fails_and_can_be_resumed_later() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let drop_after = [vec![100_000], vec![0; 20]].concat();
    machine.hub.fail("model.safetensors", Faults { drop_after, ..Faults::default() });
    let error = machine.hub().get(&id("org/tiny"), &Silent).unwrap_err();
    let Error::Interrupted { loaded, total, .. } = &error else { panic!("{error}") };
    assert_eq!((*loaded, *total), (100_000, 300_000));
    assert!(!machine.repo().join("blobs").join(sha256(&weights)).exists());
    assert_eq!(leftovers(&machine.repo()), [format!("{}.incomplete", sha256(&weights))]);
    assert!(machine.hub().cached(&id("org/tiny")).unwrap().is_none());

    machine.hub.fail("model.safetensors", Faults::default());
    let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
    assert_eq!(weight_requests(&machine).last(), Some(&Some("bytes=100000-".into())));
    assert_eq!(leftovers(&machine.repo()), [""; 0]);
}

#[test]
fn a_body_shorter_than_the_file_is_noticed() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    machine.hub.fail("model.safetensors", Faults { short_by: vec![1_000], ..Faults::default() });
    let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
    assert_eq!(weight_requests(&machine), [None, Some("bytes=299000-".into())]);
}

#[test]
fn a_server_without_ranges_sends_the_file_anew() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let faults = Faults { drop_after: vec![100_000], no_ranges: true, ..Faults::default() };
    machine.hub.fail("model.safetensors", faults);
    let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
}

#[test]
fn damaged_bytes_are_refused_and_nothing_is_kept() {
    for file in ["model.safetensors", "config.json"] {
        let machine = Machine::new();
        machine.publish_tiny();
        machine.hub.fail(file, Faults { corrupt: true, ..Faults::default() });
        let error = machine.hub().get(&id("org/tiny"), &Silent).unwrap_err();
        assert!(
            matches!(&error, Error::Checksum { file: damaged, .. } if damaged == file),
            "{error}"
        );
        assert_eq!(error.exit_code(), 3);
        assert_eq!(leftovers(&machine.repo()), [""; 0]);
        assert!(machine.hub().cached(&id("org/tiny")).unwrap().is_none());
        machine.hub.fail(file, Faults::default());
        machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    }
}

#[test]
fn a_damaged_leftover_is_thrown_away() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let blobs = machine.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights)));
    for leftover in [noise(1_000, 77), noise(400_000, 78)] {
        fs::write(&partial, leftover).unwrap();
        let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
        assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
        fs::remove_dir_all(machine.repo().join("snapshots")).unwrap();
        fs::remove_file(blobs.join(sha256(&weights))).unwrap();
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.hub.fail_api(&[503, 429]);
    let faults = Faults { status: vec![500, 503], ..Faults::default() };
    machine.hub.fail("model.safetensors", faults);
    machine.hub().get(&id("org/tiny"), &Silent).unwrap();

    machine.hub.fail_api(&[503; 50]);
    let error = machine.hub().pull(&id("org/tiny"), &Silent).unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn refusals_say_what_to_do() {
    let machine = Machine::new();
    machine.publish_tiny();
    let said = |hub: crane_native::hub::Hub, name: &str| {
        let error = hub.pull(&id(name), &Silent).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        error.to_string()
    };
    machine.hub.gate("org/tiny", Gate::Gated);
    let stranger = said(machine.hub(), "org/tiny");
    assert!(
        stranger.contains("accept its terms at http") && stranger.contains("HF_TOKEN"),
        "{stranger}"
    );
    let other = said(machine.with_token("hf_other"), "org/tiny");
    assert!(other.contains("ask for access"), "{other}");
    machine.with_token("hf_good").pull(&id("org/tiny"), &Silent).unwrap();

    machine.hub.gate("org/tiny", Gate::Private);
    let stranger = said(machine.hub(), "org/tiny");
    assert!(
        stranger.contains("check the spelling") && stranger.contains("set HF_TOKEN"),
        "{stranger}"
    );
    let missing = said(machine.with_token("hf_good"), "org/missing");
    assert!(missing.contains("org/missing"), "{missing}");
    assert!(!missing.contains("hf_good"));
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.with_token("hf_good").get(&id("org/tiny"), &Silent).unwrap();
    let log = machine.hub.log();
    assert!(log.iter().any(|request| request.storage));
    for request in log {
        let expected = (!request.storage).then_some("Bearer hf_good");
        assert_eq!(request.authorization.as_deref(), expected, "{request:?}");
    }
}

#[test]
fn a_renamed_repository_is_followed() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.hub.rename("old/name", "org/tiny");
    let snapshot = machine.hub().get(&id("old/name"), &Silent).unwrap();
    assert!(snapshot.folder.to_string_lossy().contains("models--old--name"));
}

#[test]
fn no_network_is_noticed_fast() {
    let machine = Machine::new();
    for endpoint in ["http://127.0.0.1:1", "http://no-such-host.invalid", "https://127.0.0.1:1"] {
        let began = Instant::now();
        let hub = machine.with(|config| config.endpoint = endpoint.to_owned());
        let error = hub.get(&id("org/tiny"), &Silent).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{endpoint}: {error}");
        assert_eq!(error.exit_code(), 3);
        assert!(began.elapsed() < Duration::from_secs(6), "{endpoint}: {:?}", began.elapsed());
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let machine = Machine::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let hub = machine.with(|config| {
        config.endpoint = endpoint;
        config.read_timeout = Duration::from_millis(300);
    });
    let error = hub.get(&id("org/tiny"), &Silent).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[test]
fn cancelling_keeps_what_was_loaded() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let slow = Some(Duration::from_millis(5));
    machine.hub.fail("model.safetensors", Faults { slow, ..Faults::default() });
    let recorder = Recorder { stop_at: Some(10_000), ..Recorder::default() };
    let error = machine.hub().get(&id("org/tiny"), &recorder).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(error.exit_code(), 130);
    let partial = machine.repo().join("blobs").join(format!("{}.incomplete", sha256(&weights)));
    let loaded = fs::metadata(&partial).unwrap().len();
    assert!((10_000..300_000).contains(&loaded), "{loaded}");
    machine.hub.fail("model.safetensors", Faults::default());
    machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(weight_requests(&machine).last(), Some(&Some(format!("bytes={loaded}-"))));
}

#[test]
fn names_that_lead_out_of_the_cache_are_not_asked_for() {
    let machine = Machine::new();
    let mut files = tiny(&noise(2_000, 1));
    files.push(("../../../../evil.json", b"x".to_vec()));
    machine.hub.publish("org/tiny", "main", &files);
    let snapshot = machine.hub().get(&id("org/tiny"), &Silent).unwrap();
    assert_eq!(snapshot.files, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert!(!machine.hub.log().iter().any(|request| request.path.contains("evil")));
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let machine = Machine::new();
    machine.publish_tiny();
    // A file where the folder should be: root may write anywhere else.
    fs::create_dir_all(machine.config.cache_dir.parent().unwrap()).unwrap();
    fs::write(&machine.config.cache_dir, b"").unwrap();
    let error = machine.hub().get(&id("org/tiny"), &Silent).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}
