//! Regular files of models and caches: opened without waiting for a pipe, written without following a link.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file for reading.
///
/// A pipe would make the reader wait for a writer that may never come, and a device may act when it is opened.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for anything that is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    require_regular(fs::metadata(path)?.file_type())?;
    let mut options = OpenOptions::new();
    options.read(true);
    // Something else may have taken the file's place since it was looked at.
    flags(&mut options, &[Flag::NoWait]);
    let file = options.open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// The whole of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] for a larger one.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {limit} bytes, the limit for such a file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// As [`read`], for a file of text.
///
/// # Errors
/// As [`read`]; [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Opens a file for reading and writing, with the bytes that it has; makes it if there is none.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::InvalidInput`] for a symbolic link, whose target is not this program's to write.
pub(crate) fn update(path: &Path) -> io::Result<File> {
    if let Ok(meta) = fs::symlink_metadata(path) {
        require_own(meta.file_type())?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    flags(&mut options, &[Flag::NoWait, Flag::NoFollow]);
    let file = options.open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Makes an empty file in place of whatever has its name. A link that has it is removed, its target stays as it is.
///
/// # Errors
/// What the system says.
pub(crate) fn replace(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

fn require_own(kind: FileType) -> io::Result<()> {
    match kind.is_symlink() {
        true => {
            Err(refused("it is a symbolic link, and nothing is written through one; remove it"))
        }
        false => require_regular(kind),
    }
}

fn require_regular(kind: FileType) -> io::Result<()> {
    match kind.is_file() {
        true => Ok(()),
        false => Err(refused(&format!("it is a {} where a file is needed", name(kind)))),
    }
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

fn name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "pipe";
        }
        if kind.is_socket() {
            return "socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "device";
        }
    }
    if kind.is_dir() { "folder" } else { "special file" }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
enum Flag {
    /// Opening does not wait for the other end of a pipe; regular files do not know the difference.
    NoWait,
    /// A symbolic link is an error.
    NoFollow,
}

#[cfg(unix)]
fn flags(options: &mut OpenOptions, flags: &[Flag]) {
    use std::os::unix::fs::OpenOptionsExt;
    let bit = |flag: &Flag| match flag {
        Flag::NoWait => libc::O_NONBLOCK | libc::O_NOCTTY,
        Flag::NoFollow => libc::O_NOFOLLOW,
    };
    options.custom_flags(flags.iter().map(bit).fold(0, |all, bit| all | bit));
}

#[cfg(not(unix))]
fn flags(_options: &mut OpenOptions, _flags: &[Flag]) {}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        pipe(&at("pipe"));
        symlink("pipe", at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, kind) in
            [("pipe", "pipe"), ("link", "pipe"), ("socket", "socket"), (".", "folder")]
        {
            let error = open(&at(name)).unwrap_err();
            assert!(error.to_string().contains(kind), "{name}: {error}");
        }
        let error = open(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("device"), "{error}");
        assert!(update(&at("pipe")).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        let error = read(&file, 4).unwrap_err();
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "mine").unwrap();
        symlink(&target, &link).unwrap();
        let error = update(&link).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        replace(&link).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        // A link whose target is missing would make the target.
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("missing"), &dangling).unwrap();
        assert!(update(&dangling).is_err());
        assert!(!folder.path().join("missing").exists());
    }
}
