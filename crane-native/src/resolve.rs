//! What MODEL means: a path, a name from `crane list`, a model on the Hub, or the default.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crane_sdk::source::{Source, check_model};

use crate::file_url;
use crate::folder::FolderSource;
use crate::hub::{Event, Hub, ModelId, PackageModel, Progress, Snapshot, expand};
use crate::store::Store;
use crate::wheel::WheelSource;
use crate::{Error, Result};

/// The model that answers when none is named.
pub const DEFAULT_MODEL: &str = "Qwen/Qwen2.5-0.5B-Instruct";
/// The short name of the model that answers where the Hub cannot be reached.
pub const FALLBACK_MODEL: &str = "smollm2";
/// The short name of the model that makes vectors of texts when none is named.
pub const DEFAULT_EMBEDDER: &str = "minilm";
/// The short name of the model that speaks when none is named.
pub const DEFAULT_VOICE: &str = "hibari";

/// A model whose files are on this machine.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The files.
    pub source: Arc<dyn Source>,
    /// What to call it: its hub id, or the name of its file or folder.
    pub name: String,
    /// The folder or file that holds it.
    pub path: PathBuf,
    /// The name by which `crane pull` and `crane rm` know it, if it lies in the cache.
    pub cached_as: Option<String>,
}

impl Resolved {
    /// An error in reading the model's files, with what to do about it if they are a cached copy.
    pub fn explain(&self, error: crane_sdk::Error) -> Error {
        use crane_sdk::Error as Sdk;
        let error = self.named(error);
        match (&self.cached_as, &error) {
            (
                Some(name),
                Sdk::InvalidFile { .. }
                | Sdk::Io { .. }
                | Sdk::Weights { .. }
                | Sdk::NotFound { .. },
            ) => Error::CachedCopy { name: name.clone(), error },
            _ => error.into(),
        }
    }

    /// An error with the model's name where it has none: of several models it would not say which.
    fn named(&self, error: crane_sdk::Error) -> crane_sdk::Error {
        use crane_sdk::Error as Sdk;
        let (name, path) = (&self.name, self.path.to_string_lossy());
        let tells = |text: &str| text.contains(name.as_str()) || text.contains(&*path);
        match error {
            Sdk::InvalidFile { file, reason } if !tells(&file) && !tells(&reason) => {
                Sdk::InvalidFile { file: format!("{file} of {name}"), reason }
            }
            Sdk::Unsupported { what, hint } if !tells(&what) && !tells(&hint) => {
                Sdk::Unsupported { what: format!("{what} (in {name})"), hint }
            }
            Sdk::Tokenizer(reason) if !tells(&reason) => {
                Sdk::Tokenizer(format!("of {name}: {reason}"))
            }
            error => error,
        }
    }
}

/// Finds the files of a model, fetching them if they are not on this machine.
///
/// A text that is spelt like a path (it begins with `./`, `../`, `/`, `~` or `file://`, or ends in `/`, `.gguf` or `.whl`) is
/// one; leading nowhere is an error. Any other is a name, in the order in which it is tried: the short name of a known package
/// ([`crate::hub::PACKAGES`]); a folder or file of the current folder; a name that [`Store::list`] shows, or its last
/// part; `org/name[@revision][:file]` on the Hub. A folder never takes the place of a package or of a cached model: the
/// current folder may be a stranger's. Where a name means both a folder and a cached model it is ambiguous. Nothing is
/// asked of the network for a model that is cached; [`pull`] does ask.
///
/// ```no_run
/// use crane_native::hub::{Hub, Silent};
/// use crane_native::resolve::resolve;
///
/// # fn main() -> crane_native::Result<()> {
/// let model = resolve("Qwen/Qwen2.5-0.5B-Instruct", &Hub::from_env()?, &Silent)?;
/// println!("{} lies in {}", model.name, model.path.display());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::Usage`] for a text that is no name at all,
/// and those of [`Hub::get`].
pub fn resolve(model: &str, hub: &Hub, progress: &dyn Progress) -> Result<Resolved> {
    find(model, hub, progress, false)
}

/// As [`resolve`], but the Hub is asked for the newest commit of a model that comes from it, and the
/// file of a package is verified.
///
/// # Errors
/// As [`resolve`], [`Hub::pull`] and [`PackageModel::pull`]; [`Error::Usage`] for a path.
pub fn pull(model: &str, hub: &Hub, progress: &dyn Progress) -> Result<Resolved> {
    find(model, hub, progress, true)
}

/// The model that answers when none is named.
///
/// It is [`DEFAULT_MODEL`], from the cache or the Hub. Where the Hub gives nothing, it is
/// [`FALLBACK_MODEL`]; once that one is here, the Hub is not waited for again. A notice says which
/// model answers and why.
///
/// # Errors
/// Those of [`Hub::get`] and [`PackageModel::get`].
pub fn resolve_default(hub: &Hub, progress: &dyn Progress) -> Result<Resolved> {
    let id: ModelId = DEFAULT_MODEL.parse()?;
    if let Some(snapshot) = hub.cached(&id)? {
        return Ok(from_snapshot(&snapshot));
    }
    let Some(fallback) = PackageModel::find(FALLBACK_MODEL) else {
        return hub.get(&id, progress).map(|snapshot| from_snapshot(&snapshot));
    };
    let title = fallback.title;
    if let Some(path) = fallback.cached(hub.config()) {
        progress.report(Event::Notice(&format!(
            "{title} answers (cached); `crane pull {DEFAULT_MODEL}` fetches the larger default model"
        )));
        return from_package(fallback, &path);
    }
    let reason = match hub.get(&id, progress) {
        Ok(snapshot) => return Ok(from_snapshot(&snapshot)),
        // The model is public: whatever answered so was not the Hub, or is not in order.
        Err(
            error @ (Error::Unreachable { .. }
            | Error::Server { .. }
            | Error::NotFound { .. }
            | Error::Refused { .. }),
        ) => error,
        Err(error) => return Err(error),
    };
    let reason = match reason {
        Error::Unreachable { place, reason } => format!("cannot reach {place} ({reason})"),
        other => other.to_string(),
    };
    progress
        .report(Event::Notice(&format!("{reason}, so {title} answers instead of {DEFAULT_MODEL}")));
    let path = fallback.get(hub.config(), progress)?;
    from_package(fallback, &path)
}

/// Refuses a text that looks like a path and leads nowhere, as [`resolve`] does, before anything
/// else is asked of the user.
pub(crate) fn check_path(model: &str) -> Result<()> {
    let path = path_of(model);
    if looks_like_path(model) && !path.exists() {
        // Opening says best why it cannot be opened.
        FolderSource::open_path(&path)?;
    }
    Ok(())
}

fn find(model: &str, hub: &Hub, progress: &dyn Progress, fresh: bool) -> Result<Resolved> {
    if model.is_empty() {
        return Err(Error::Usage("the model's name is empty".to_owned()));
    }
    let path = path_of(model);
    let is_name = !looks_like_path(model);
    let package = PackageModel::find(model).filter(|_| is_name);
    if package.is_none() && path.exists() {
        let id = model.parse::<ModelId>().ok().filter(|_| is_name);
        match fresh {
            false => {
                if is_name {
                    check_alone(model, hub)?;
                }
                if id.is_some() {
                    progress.report(Event::Notice(&format!(
                        "{model} is a folder here, which is read; hf.co/{model} is the model on the Hub"
                    )));
                }
                return from_path(&path);
            }
            // Only the Hub has what can be fetched.
            true if id.is_some() => {}
            true => {
                return Err(Error::Usage(format!(
                    "{} is on this machine already, and nothing is to be fetched; `crane pull` takes a \
                     name: org/name, or one that `crane list` shows",
                    path.display()
                )));
            }
        }
    }
    check_path(model)?;
    if let Some(package) = package {
        let path = match fresh {
            false => package.get(hub.config(), progress)?,
            true => package.pull(hub.config(), progress)?,
        };
        return from_package(package, &path);
    }
    let id = match model.parse::<ModelId>() {
        Ok(id) => id,
        Err(_) if model.contains('/') => return Err(no_such_model(model)),
        Err(_) => match Store::new(hub.config()).hub_id_by_short_name(model)? {
            Some(id) => id,
            None => return Err(no_such_model(model)),
        },
    };
    let snapshot = if fresh { hub.pull(&id, progress)? } else { hub.get(&id, progress)? };
    Ok(from_snapshot(&snapshot))
}

/// Refuses the name of something in the current folder that is a cached model's name too.
fn check_alone(model: &str, hub: &Hub) -> Result<()> {
    let cached = match model.parse::<ModelId>() {
        // A damaged copy, or several quantisations, are there as well.
        Ok(id) if matches!(hub.cached(&id), Ok(None)) => Vec::new(),
        Ok(_) => vec![format!("hf.co/{model}")],
        Err(_) => match Store::new(hub.config()).hub_id_by_short_name(model) {
            Ok(Some(id)) => vec![id.to_string()],
            Err(Error::Ambiguous { choices, .. }) => choices,
            Ok(None) | Err(_) => Vec::new(),
        },
    };
    match cached.is_empty() {
        true => Ok(()),
        false => Err(Error::Ambiguous {
            what: format!("{model:?}, a folder here and a model in the cache,"),
            choices: std::iter::once(format!("./{model}")).chain(cached).collect(),
        }),
    }
}

/// The path that a text would be.
fn path_of(model: &str) -> PathBuf {
    match file_url::path(model) {
        Some(path) => path,
        None => expand(Path::new(model), std::env::home_dir().as_deref()),
    }
}

fn looks_like_path(model: &str) -> bool {
    let path = Path::new(model);
    path.is_absolute()
        || file_url::is_one(model)
        || model.starts_with(['.', '~', '\\'])
        || model.ends_with(['/', '\\'])
        || (path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf") || end == "whl")
            && !model.contains(':'))
}

fn no_such_model(model: &str) -> Error {
    let known: Vec<&str> = crate::hub::PACKAGES.iter().map(|package| package.name).collect();
    Error::NotFound {
        what: format!("model {model:?}"),
        place: "this machine's folders and cache".to_owned(),
        hint: format!(
            "give a folder, a .gguf file, a hub id (org/name), a name that `crane list` shows, or {}",
            known.join(", ")
        ),
    }
}

fn is_wheel(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|end| end == "whl")
}

fn from_path(path: &Path) -> Result<Resolved> {
    let source: Arc<dyn Source> = match is_wheel(path) {
        true => Arc::new(WheelSource::open(path)?),
        false => Arc::new(FolderSource::open_path(path)?),
    };
    // A folder with a tokenizer alone can tokenize, one with voices or a codec can speak.
    if !source.contains("tokenizer.json")?
        && !source.contains("voices.json")?
        && !source.contains("BiCodec/config.yaml")?
    {
        check_model(source.as_ref())?;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned();
    Ok(Resolved { source, name, path: path.to_owned(), cached_as: None })
}

fn from_package(package: &PackageModel, path: &Path) -> Result<Resolved> {
    let source: Arc<dyn Source> = match is_wheel(path) {
        true => Arc::new(WheelSource::open(path)?),
        false => Arc::new(FolderSource::file(path)?),
    };
    Ok(Resolved {
        source,
        name: package.title.to_owned(),
        path: path.to_owned(),
        cached_as: Some(package.name.to_owned()),
    })
}

fn from_snapshot(snapshot: &Snapshot) -> Resolved {
    Resolved {
        source: Arc::new(snapshot.source()),
        name: snapshot.id.to_string(),
        path: match snapshot.files.as_slice() {
            [only] => snapshot.folder.join(only),
            _ => snapshot.folder.clone(),
        },
        cached_as: Some(snapshot.id.to_string()),
    }
}
