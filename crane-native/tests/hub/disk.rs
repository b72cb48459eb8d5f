//! Models on disk: what a folder shows, and what is said of one that cannot be read.

use std::fs;

use crane_native::folder::FolderSource;
use crane_sdk::Error;
use crane_sdk::source::Source;

#[test]
fn a_folder_shows_its_files_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("LLM/.git")).unwrap();
    for name in ["config.json", "LLM/model.safetensors", "LLM/.git/x", ".hidden", "empty"] {
        let bytes: &[u8] = if name == "empty" { b"" } else { b"0123456789" };
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let source = FolderSource::open_path(folder.path()).unwrap();
    assert_eq!(source.files().unwrap(), ["LLM/model.safetensors", "config.json", "empty"]);
    assert!(source.contains("LLM/model.safetensors").unwrap());
    assert!(!source.contains("LLM").unwrap() && !source.contains("missing").unwrap());

    let blob = source.open("LLM/model.safetensors").unwrap();
    assert_eq!(blob.len(), 10);
    assert_eq!(&*blob.read(2, 3).unwrap(), b"234");
    assert_eq!(&*blob.read(10, 0).unwrap(), b"");
    for (offset, len) in [(8, 3), (11, 0), (u64::MAX, 1)] {
        assert!(matches!(blob.read(offset, len), Err(Error::InvalidFile { .. })));
    }
    assert!(source.open("empty").unwrap().is_empty());
    assert_eq!(&*source.open("empty").unwrap().read_all().unwrap(), b"");
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("model")).unwrap();
    fs::write(folder.path().join("secret"), b"x").unwrap();
    let source = FolderSource::open_path(folder.path().join("model")).unwrap();
    for name in ["../secret", "/etc/hostname", "", ".", "a/../../secret"] {
        assert!(matches!(source.open(name), Err(Error::NotFound { .. })), "{name}");
        assert!(!source.contains(name).unwrap(), "{name}");
    }
}

#[test]
fn a_split_gguf_is_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
    for part in parts {
        fs::write(folder.path().join(part), part).unwrap();
    }
    fs::write(folder.path().join("other.gguf"), b"x").unwrap();
    let source = FolderSource::open_path(folder.path().join(parts[1])).unwrap();
    assert_eq!(source.files().unwrap(), parts);
    assert!(source.open("other.gguf").is_err());

    fs::remove_file(folder.path().join(parts[2])).unwrap();
    let error = FolderSource::open_path(folder.path().join(parts[0])).unwrap_err();
    assert!(matches!(&error, Error::NotFound { what, .. } if what == parts[2]), "{error}");
}

#[test]
fn what_cannot_be_read_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let source = FolderSource::open_path(folder.path()).unwrap();
    fs::create_dir(folder.path().join("config.json")).unwrap();
    let error = source.open("config.json").unwrap_err().to_string();
    assert!(error.contains("folder where a file is needed"), "{error}");
    let error = FolderSource::open_path(folder.path().join("missing")).unwrap_err().to_string();
    assert!(error.starts_with("missing not found in"), "{error}");
    #[cfg(unix)]
    {
        let link = folder.path().join("link.gguf");
        std::os::unix::fs::symlink("gone.gguf", &link).unwrap();
        let error = FolderSource::open_path(&link).unwrap_err().to_string();
        assert!(error.contains("a link to gone.gguf"), "{error}");
        assert!(source.files().unwrap().is_empty());
        let error = FolderSource::open_path("/dev/null").unwrap_err().to_string();
        assert!(error.contains("neither a folder nor a regular file"), "{error}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_said_to() {
    use std::time::{Duration, SystemTime};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let later = SystemTime::now() + Duration::from_secs(60);
    type Change = fn(&fs::File, SystemTime);
    let cut: Change = |file, _| file.set_len(1_000).unwrap();
    let emptied: Change = |file, _| file.set_len(0).unwrap();
    let grown: Change = |file, _| file.set_len(1 << 20).unwrap();
    let written: Change = |file, later| file.set_modified(later).unwrap();
    for (change, part) in [
        (cut, "it had 400000 bytes and has 1000 now"),
        (emptied, "has 0 now"),
        (grown, "has 1048576 now"),
        (written, "it was written to"),
    ] {
        fs::write(&file, &bytes).unwrap();
        let blob = FolderSource::open_path(&file).unwrap().open("m.gguf").unwrap();
        assert_eq!(&*blob.read(4_000, 8).unwrap(), &bytes[4_000..4_008]);
        change(&fs::File::options().write(true).open(&file).unwrap(), later);
        // Bytes that are there still count as little as those that are gone.
        for offset in [0, 4_000, 399_992] {
            let error = blob.read(offset, 8).unwrap_err();
            assert!(matches!(error, Error::Changed { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("m.gguf changed while it was read"), "{said}");
            assert!(said.contains(part), "{said}");
            assert_eq!(crane_native::Error::from(error).exit_code(), 3);
        }
    }
    // A new file under the old name is another file.
    fs::write(&file, &bytes).unwrap();
    let blob = FolderSource::open_path(&file).unwrap().open("m.gguf").unwrap();
    fs::write(folder.path().join("new"), b"other").unwrap();
    fs::rename(folder.path().join("new"), &file).unwrap();
    assert_eq!(&*blob.read_all().unwrap(), &bytes[..]);
}

#[test]
fn several_readers_of_one_file_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..250_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.path().join("m.gguf"), &bytes).unwrap();
    let source = FolderSource::folder(folder.path()).unwrap();
    let blob = source.open("m.gguf").unwrap();
    std::thread::scope(|scope| {
        for start in 0..4_usize {
            let (blob, bytes) = (&blob, &bytes);
            scope.spawn(move || {
                for at in (start..900_000).step_by(7_919) {
                    assert_eq!(&*blob.read(at as u64, 5_000).unwrap(), &bytes[at..at + 5_000]);
                }
            });
        }
    });
}

/// Opening a pipe waits for somebody who writes into it.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_no_part_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(
        std::process::Command::new("mkfifo").arg(at("config.json")).status().unwrap().success()
    );
    std::os::unix::fs::symlink("config.json", at("tokenizer.json")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("model.safetensors")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("m.gguf")).unwrap();
    let source = FolderSource::folder(folder.path()).unwrap();
    assert_eq!(source.files().unwrap(), [""; 0]);
    for (name, kind) in [
        ("config.json", "pipe"),
        ("tokenizer.json", "pipe"),
        ("model.safetensors", "socket"),
        ("m.gguf", "device"),
    ] {
        assert!(!source.contains(name).unwrap(), "{name}");
        let error = source.open(name).unwrap_err();
        assert!(error.to_string().contains(&format!("a {kind} where a file is needed")), "{error}");
    }
}

/// Root may read everything, so this says something only for an ordinary user.
#[cfg(unix)]
#[test]
fn a_closed_door_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    fs::write(&file, b"GGUF").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&file).is_ok() {
        return;
    }
    let error = FolderSource::open_path(&file).unwrap().open("m.gguf").unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
}
