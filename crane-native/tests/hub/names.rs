//! What MODEL means, what is listed, and what removing leaves.

use std::fs;

use crane_native::Error;
use crane_native::hub::Silent;
use crane_native::resolve::{pull, resolve};
use crane_native::store::{Kind, Store};

use crate::server::sha256;
use crate::{Machine, noise, tiny};

#[test]
fn a_path_that_exists_wins() {
    let machine = Machine::new();
    let folder = machine.home.path().join("my-model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), b"{}").unwrap();
    let found = resolve(folder.to_str().unwrap(), &machine.hub(), &Silent).unwrap();
    assert_eq!((found.name.as_str(), &found.path), ("my-model", &folder));
    assert_eq!(found.source.files().unwrap(), ["config.json"]);

    let file = folder.join("m.gguf");
    fs::write(&file, b"GGUF").unwrap();
    let found = resolve(file.to_str().unwrap(), &machine.hub(), &Silent).unwrap();
    assert_eq!(found.name, "m.gguf");
    assert_eq!(found.source.files().unwrap(), ["m.gguf"]);
    assert!(machine.hub.log().is_empty());
}

#[test]
fn what_looks_like_a_path_is_never_asked_of_the_hub() {
    let machine = Machine::new();
    for missing in
        ["./no/model", "../model", "~/no-such-model", "/no/model", "model.gguf", "a/b.gguf"]
    {
        let error = resolve(missing, &machine.hub(), &Silent).unwrap_err();
        assert!(error.to_string().contains("not found"), "{missing}: {error}");
        assert_eq!(error.exit_code(), 3, "{missing}: {error}");
    }
    assert!(machine.hub.log().is_empty());
}

#[test]
fn what_is_no_name_is_said_to_be_none() {
    let machine = Machine::new();
    for (name, code) in [("", 2), ("nonsense", 3), ("a/b/c", 3), ("what is this", 3)] {
        let error = resolve(name, &machine.hub(), &Silent).unwrap_err();
        assert_eq!(error.exit_code(), code, "{name:?}: {error}");
    }
}

#[test]
fn the_last_part_of_a_cached_name_is_enough() {
    let machine = Machine::new();
    machine.publish_tiny();
    let first = resolve("org/tiny", &machine.hub(), &Silent).unwrap();
    let offline = machine.with(|config| config.offline = true);
    let short = resolve("Tiny", &offline, &Silent).unwrap();
    assert_eq!((short.name, short.path), (first.name, first.path));

    machine.hub.publish("other/tiny", "main", &tiny(&noise(2_000, 3)));
    resolve("other/tiny", &machine.hub(), &Silent).unwrap();
    let error = resolve("tiny", &machine.hub(), &Silent).unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error}");
    assert!(error.to_string().contains("org/tiny\n  other/tiny"), "{error}");
}

#[test]
fn pull_asks_and_resolve_does_not() {
    let machine = Machine::new();
    machine.publish_tiny();
    let old = pull("org/tiny", &machine.hub(), &Silent).unwrap();
    machine.hub.publish("org/tiny", "main", &tiny(&noise(2_000, 8)));
    assert_eq!(resolve("org/tiny", &machine.hub(), &Silent).unwrap().path, old.path);
    assert_ne!(pull("org/tiny", &machine.hub(), &Silent).unwrap().path, old.path);
}

#[test]
fn the_list_tells_size_kind_and_completeness() {
    let machine = Machine::new();
    let store = Store::new(&machine.config);
    assert_eq!(store.list().unwrap(), [], "an empty cache is no error");
    let (weights, _) = machine.publish_tiny();
    machine.hub.publish("org/quants", "main", &[("a-q4_0.gguf", noise(2_000, 4))]);
    resolve("org/tiny", &machine.hub(), &Silent).unwrap();
    resolve("org/quants", &machine.hub(), &Silent).unwrap();
    let list = store.list().unwrap();
    let names: Vec<_> = list.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["org/quants", "org/tiny"]);
    assert_eq!((list[0].kind, list[1].kind), (Kind::Gguf, Kind::Safetensors));
    assert_eq!(list[1].files, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert!((302_000..303_000).contains(&list[1].size), "{}", list[1].size);
    assert!(list.iter().all(|entry| entry.complete && entry.modified.is_some()));

    fs::remove_file(machine.repo().join("blobs").join(sha256(&weights))).unwrap();
    let list = store.list().unwrap();
    assert!(!list[1].complete, "its weights are gone");
}

#[test]
fn removing_a_model_leaves_the_others() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.hub.publish("org/other", "main", &tiny(&noise(2_000, 3)));
    for name in ["org/tiny", "org/other"] {
        resolve(name, &machine.hub(), &Silent).unwrap();
    }
    let store = Store::new(&machine.config);
    let removed = store.remove("tiny").unwrap();
    assert_eq!(removed.name, "org/tiny");
    assert!(removed.bytes > 300_000);
    assert!(!machine.repo().exists());
    assert_eq!(store.list().unwrap().len(), 1);
    for missing in ["org/tiny", "tiny", "smollm2", "/etc", "../x"] {
        let error = store.remove(missing).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{missing}: {error}");
    }
}

#[test]
fn removing_a_revision_keeps_what_another_uses() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let mut files = tiny(&weights);
    files[1].1 = br#"{"changed": true}"#.to_vec();
    machine.hub.publish("org/tiny", "v2", &files);
    let main = resolve("org/tiny", &machine.hub(), &Silent).unwrap();
    let v2 = resolve("org/tiny@v2", &machine.hub(), &Silent).unwrap();
    let removed = Store::new(&machine.config).remove("org/tiny@v2").unwrap();
    assert!((1..300).contains(&removed.bytes), "the config and its ref alone: {}", removed.bytes);
    assert!(!v2.path.exists() && !machine.repo().join("refs/v2").exists());
    let blob = main.source.open("model.safetensors").unwrap();
    assert_eq!(&*blob.read_all().unwrap(), &weights[..]);
}

#[test]
fn removing_one_file_keeps_the_rest() {
    let machine = Machine::new();
    let files = [("m-q4_0.gguf", noise(2_000, 4)), ("m-q8_0.gguf", noise(3_000, 4))];
    machine.hub.publish("org/tiny", "main", &files);
    for tag in ["q4_0", "q8_0"] {
        resolve(&format!("org/tiny:{tag}"), &machine.hub(), &Silent).unwrap();
    }
    let store = Store::new(&machine.config);
    assert_eq!(store.remove("org/tiny:m-q8_0.gguf").unwrap().bytes, 3_000);
    assert_eq!(store.list().unwrap()[0].files, ["m-q4_0.gguf"]);
    store.remove("org/tiny:m-q4_0.gguf").unwrap();
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn tags_are_those_that_the_publisher_writes() {
    let machine = Machine::new();
    let file = |name: &'static str, bytes| (name, noise(bytes, 4));
    let (usual, dynamic, large) = ("Tiny-Q4_K_M.gguf", "Tiny-UD-Q4_K_XL.gguf", "Tiny Q8_0.gguf");
    machine.hub.publish("org/tiny", "main", &[file(usual, 20), file(dynamic, 30), file(large, 40)]);
    let files = |name: &str, hub| resolve(name, &hub, &Silent).unwrap().source.files().unwrap();
    for (tag, expected) in [
        ("latest", usual),
        ("UD-Q4_K_XL", dynamic),
        ("ud-q4_k_xl", dynamic),
        ("Q4_K_XL", dynamic),
        ("q8_0", large),
    ] {
        assert_eq!(files(&format!("org/tiny:{tag}"), machine.hub()), [expected], "{tag}");
        // From the cache, and by the last part of the name.
        let offline = machine.with(|config| config.offline = true);
        assert_eq!(files(&format!("tiny:{tag}"), offline), [expected], "{tag}");
    }
    let offline = machine.with(|config| config.offline = true);
    let error = resolve("org/tiny:Q2_K", &offline, &Silent).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    for said in ["Q2_K not found", dynamic, "offline", "crane pull org/tiny:Q2_K"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    let store = Store::new(&machine.config);
    assert_eq!(store.remove("org/tiny:UD-Q4_K_XL").unwrap().bytes, 30);
    assert_eq!(store.remove("tiny:q8_0").unwrap().bytes, 40);
    assert!(matches!(store.remove("org/tiny:Q2_K"), Err(Error::NotFound { .. })));
    assert_eq!(store.list().unwrap()[0].files, [usual]);
}
