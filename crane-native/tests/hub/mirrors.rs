//! Mirrors that are not what the Hub is: ETags that are no checksums, or those of other files, and answers without an end.

use std::fs;

use crane_native::Error;
use crane_native::hub::{ModelId, Silent, Snapshot};

use crate::server::{Faults, sha256};
use crate::{Machine, Recorder, leftovers, noise, tiny};

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

fn id() -> ModelId {
    "org/tiny".parse().unwrap()
}

/// All files of a mirror have one ETag.
fn one_etag(machine: &Machine, etag: &str) {
    for file in FILES {
        machine.hub.fail(file, Faults { etag: Some(etag.to_owned()), ..Faults::default() });
    }
}

fn assert_same(snapshot: &Snapshot, files: &[(&str, Vec<u8>)]) {
    for name in FILES {
        let (_, bytes) = files.iter().find(|(file, _)| *file == name).unwrap();
        assert_eq!(fs::read(snapshot.folder.join(name)).unwrap(), *bytes, "{name}");
    }
}

fn blobs(machine: &Machine) -> Vec<String> {
    let entries = fs::read_dir(machine.repo().join("blobs")).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn etags_that_are_no_checksums_do_not_keep_damage_from_being_seen() {
    for etag in ["static", "d41d8cd98f00b204e9800998ecf8427e-3", "../../escape", ""] {
        let machine = Machine::new();
        let (weights, _) = machine.publish_tiny();
        one_etag(&machine, etag);
        let recorder = Recorder::default();
        let snapshot = machine.hub().get(&id(), &recorder).unwrap();
        assert_same(&snapshot, &tiny(&weights));
        assert!(!recorder.notices().contains("no checksum"), "{}", recorder.notices());
        assert!(blobs(&machine).contains(&sha256(&weights)), "blobs keep the Hub's own names");
        let lists = machine.hub.log().into_iter().filter(|r| r.path.contains("blobs=true"));
        assert_eq!(lists.count(), 1, "the list is asked for once");

        for file in ["config.json", "model.safetensors"] {
            let machine = Machine::new();
            machine.publish_tiny();
            one_etag(&machine, etag);
            let faults = Faults { etag: Some(etag.to_owned()), corrupt: true, ..Faults::default() };
            machine.hub.fail(file, faults);
            let error = machine.hub().get(&id(), &Silent).unwrap_err();
            assert!(matches!(error, Error::Checksum { .. }), "{etag:?}: {error}");
            assert_eq!(leftovers(&machine.repo()), [""; 0]);
        }
    }
}

#[test]
fn a_hub_with_checksums_is_not_asked_for_them_again() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.hub().get(&id(), &Silent).unwrap();
    assert!(machine.hub.log().iter().all(|request| !request.path.contains("blobs=true")));
}

#[test]
fn a_mirror_that_tells_no_checksum_confuses_nothing_and_is_named() {
    let machine = Machine::new();
    machine.hub.hide_sums();
    // Two files of one length and one ETag: only their content tells them apart.
    let mut files = tiny(&noise(2_000, 7));
    machine.hub.publish("org/tiny", "main", &files);
    one_etag(&machine, "static");
    let recorder = Recorder::default();
    let old = machine.hub().get(&id(), &recorder).unwrap();
    assert_same(&old, &files);
    for file in FILES {
        let told = format!("{file}: {} tells no checksum", machine.hub.endpoint);
        assert!(recorder.notices().contains(&told), "{}", recorder.notices());
    }
    let mut named: Vec<_> = files[1..].iter().map(|(_, bytes)| sha256(bytes)).collect();
    named.sort();
    assert_eq!(blobs(&machine), named, "each content has a name of its own");

    // Another commit, whose weights have the same length and ETag.
    let before = files.clone();
    files[3].1 = noise(2_000, 8);
    machine.hub.publish("org/tiny", "main", &files);
    let new = machine.hub().pull(&id(), &Silent).unwrap();
    assert_same(&new, &files);
    assert_same(&old, &before);
}

#[test]
fn what_a_transfer_left_is_not_trusted_without_a_checksum() {
    let machine = Machine::new();
    machine.hub.hide_sums();
    let (weights, _) = machine.publish_tiny();
    let drop_after = [vec![100_000], vec![0; 20]].concat();
    let etag = Some("static".to_owned());
    let faults = Faults { etag: etag.clone(), drop_after, ..Faults::default() };
    machine.hub.fail("model.safetensors", faults);
    let error = machine.hub().get(&id(), &Silent).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    let [partial] = &leftovers(&machine.repo())[..] else { panic!("one file is unfinished") };
    let partial = machine.repo().join("blobs").join(partial);
    fs::write(&partial, noise(100_000, 99)).unwrap();
    machine.hub.fail("model.safetensors", Faults { etag, ..Faults::default() });
    let snapshot = machine.hub().get(&id(), &Silent).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights);
}

#[test]
fn the_checksum_of_one_file_is_not_taken_for_another() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    machine.hub().get(&id(), &Silent).unwrap();
    // A new commit whose tokenizer the mirror calls by the name of the weights.
    let mut files = tiny(&weights);
    files[2].1 = noise(3_000, 20);
    machine.hub.publish("org/tiny", "main", &files);
    let etag = Some(sha256(&weights));
    machine.hub.fail("tokenizer.json", Faults { etag, ..Faults::default() });
    let error = machine.hub().pull(&id(), &Silent).unwrap_err();
    assert!(matches!(&error, Error::Checksum { file, .. } if file == "tokenizer.json"), "{error}");
    let blob = machine.repo().join("blobs").join(sha256(&weights));
    assert_eq!(fs::read(blob).unwrap(), weights);
}

#[test]
fn a_list_without_an_end_is_left() {
    let machine = Machine::new();
    machine.publish_tiny();
    machine.hub.pad_api(65 << 20);
    let error = machine.hub().pull(&id(), &Silent).unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
    assert!(error.to_string().contains("the limit for a list of files"), "{error}");
    assert_eq!(machine.hub.log().len(), 1, "asking again would not help");
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link() {
    let machine = Machine::new();
    let (weights, _) = machine.publish_tiny();
    let victim = machine.home.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let blobs = machine.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights)));
    for target in [&victim, &machine.home.path().join("missing")] {
        let _ = fs::remove_file(&partial);
        std::os::unix::fs::symlink(target, &partial).unwrap();
        let error = machine.hub().get(&id(), &Silent).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(!machine.home.path().join("missing").exists());
    fs::remove_file(&partial).unwrap();
    machine.hub().get(&id(), &Silent).unwrap();
}
