//! Helper programs of this machine: found on PATH, and started where a stranger's files cannot stand in for their own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables whose value may be a relative path: it means a place in the folder of this process.
const PATHS: [&str; 9] = [
    "CURL_CA_BUNDLE",
    "NETRC",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_FIND_LINKS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// A helper program that starts in the folder `place`, which should be empty.
///
/// The folder that the user is in may be a stranger's: a cloned repository, an archive that was unpacked. Python takes
/// modules from the current folder before its own, and a PATH with an empty or relative entry takes programs from it.
/// So a program is looked for in the absolute folders of PATH, runs elsewhere, and Python is told to keep that folder out of its search
/// (`PYTHONSAFEPATH`, from Python 3.11; older ones look into the empty folder).
///
/// `None` if there is no such program.
pub(crate) fn command(name: &OsStr, place: &Path) -> Option<Command> {
    let path = search_path();
    let mut command = Command::new(find_in(name, &path)?);
    command.current_dir(place).env("PYTHONSAFEPATH", "1");
    // The program looks for others in its turn.
    if let Ok(path) = env::join_paths(&path) {
        command.env("PATH", path);
    }
    for name in PATHS {
        if let Some(path) = env::var_os(name).and_then(|value| made_absolute(&value)) {
            command.env(name, path);
        }
    }
    Some(command)
}

/// The folders of PATH that do not lead to the current folder.
fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    cleaned(&path, env::current_dir().ok().as_deref())
}

/// The folders of a PATH without those that lead to the current folder: empty and relative entries, and the folder itself.
fn cleaned(path: &OsStr, current: Option<&Path>) -> Vec<PathBuf> {
    let real = |folder: &Path| folder.canonicalize().ok();
    let here = current.and_then(real);
    let is_current = |folder: &Path| here.is_some() && real(folder) == here;
    env::split_paths(path).filter(|folder| folder.is_absolute() && !is_current(folder)).collect()
}

/// Where a program is: an absolute path is itself, a name is looked for in these folders. A relative path is nowhere.
fn find_in(name: &OsStr, folders: &[PathBuf]) -> Option<PathBuf> {
    let named = Path::new(name);
    if named.is_absolute() {
        return is_program(named).then(|| named.to_owned());
    }
    // A name has one part: `a/b`, `.` and `..` are paths.
    if named.file_name() != Some(name) {
        return None;
    }
    folders.iter().flat_map(|folder| spellings(folder, name)).find(|file| is_program(file))
}

/// The files that a program may be in a folder.
fn spellings(folder: &Path, name: &OsStr) -> Vec<PathBuf> {
    let file = folder.join(name);
    match cfg!(windows) && file.extension().is_none() {
        true => vec![file.with_extension("exe"), file.with_extension("com")],
        false => vec![file],
    }
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// The absolute form of a relative path at which there is something; nothing for any other text.
fn made_absolute(value: &OsStr) -> Option<OsString> {
    let path = Path::new(value);
    if value.is_empty() || path.is_absolute() || !path.exists() {
        return None;
    }
    std::path::absolute(path).ok().map(PathBuf::into_os_string)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn program(folder: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, "#!/bin/sh\npwd\necho \"$PYTHONSAFEPATH\"\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn no_entry_of_path_leads_to_the_current_folder() {
        let home = tempfile::tempdir().unwrap();
        let (here, there) = (home.path().join("here"), home.path().join("there"));
        program(&here, "helper");
        program(&here.join("bin"), "helper");
        let right = program(&there, "helper");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&here, &link).unwrap();
        let find = |path: &str| find_in("helper".as_ref(), &cleaned(path.as_ref(), Some(&here)));
        let (here, link, there) = (here.display(), link.display(), there.display());
        for before in ["", ".", "bin", "./bin", "../here", &here.to_string(), &link.to_string()] {
            assert_eq!(find(&format!("{before}:{there}")), Some(right.clone()), "{before:?}");
            assert_eq!(find(before), None, "{before:?}");
        }
        // An environment's own programs may lie below it, where PATH says so.
        assert_eq!(find(&format!("{here}/bin")), Some(PathBuf::from(format!("{here}/bin/helper"))));
    }

    #[test]
    fn a_program_is_a_name_or_an_absolute_path() {
        let home = tempfile::tempdir().unwrap();
        let file = program(home.path(), "helper");
        fs::write(home.path().join("text"), "").unwrap();
        let folders = [home.path().to_owned()];
        let find = |name: &str| find_in(name.as_ref(), &folders);
        assert_eq!(find(&file.display().to_string()), Some(file.clone()));
        assert_eq!(find("helper"), Some(file));
        for name in ["", ".", "..", "./helper", "x/helper", "text", "missing", "/missing"] {
            assert_eq!(find(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_program_runs_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("place")).unwrap();
        let place = home.path().join("place").canonicalize().unwrap();
        let file = program(home.path(), "helper");
        let output = command(file.as_os_str(), &place).unwrap().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("{}\n1\n", place.display()));
    }

    #[test]
    fn relative_paths_of_settings_stay_where_they_were() {
        assert_eq!(made_absolute("https://example.org/simple".as_ref()), None);
        assert_eq!(made_absolute("/etc/pip.conf".as_ref()), None);
        assert_eq!(made_absolute("missing.conf".as_ref()), None);
        let here = env::current_dir().unwrap().join("Cargo.toml");
        assert_eq!(made_absolute("Cargo.toml".as_ref()), Some(here.into_os_string()));
    }
}
