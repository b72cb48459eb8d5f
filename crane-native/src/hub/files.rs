//! Which files of a repository make up the model: weights as published, or one quantisation.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::folder::{is_relative, split_set};
use crate::{Error, Result};

/// Quantisations in the order in which an unnamed one is picked: small and good first.
const PREFERRED: [&str; 14] = [
    "q4_k_m", "q4_k_s", "q4_0", "q4_1", "q5_k_m", "q5_k_s", "q5_0", "q8_0", "q6_k", "iq4_xs",
    "q3_k_m", "f16", "bf16", "f32",
];

/// The largest index of shards that is read, in bytes.
pub(crate) const MAX_INDEX: u64 = 64 << 20;

/// What has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Config, tokenizer, template: small files, fetched first.
    pub(crate) side: Vec<String>,
    /// The files that hold weights.
    pub(crate) weights: Weights,
}

/// The files that hold weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Weights {
    /// These.
    Files(Vec<String>),
    /// Those that this index (one of the side files) names.
    Index(String),
}

/// Chooses from a repository's files. `wanted` is a `.gguf` name or the tag of a quantisation.
///
/// # Errors
/// [`Error::NotFound`] if there are no weights or not the wanted ones, [`Error::Ambiguous`] if
/// several files fit equally well.
pub(crate) fn plan(repo: &str, files: &[String], wanted: Option<&str>) -> Result<Plan> {
    let ggufs = gguf_sets(files);
    if let Some(wanted) = wanted {
        return Ok(Plan { side: Vec::new(), weights: named_gguf(repo, &ggufs, wanted)? });
    }
    let top: Vec<&String> = files.iter().filter(|file| !file.contains('/')).collect();
    for kind in ["safetensors", "bin"] {
        let index = |file: &str| file.ends_with(&format!(".{kind}.index.json"));
        let weights: Vec<&String> =
            top.iter().copied().filter(|file| is_weight(file, kind)).collect();
        if weights.is_empty() {
            if kind == "safetensors" && !ggufs.is_empty() {
                let weights = Weights::Files(usual_gguf(repo, &ggufs)?);
                return Ok(Plan { side: Vec::new(), weights });
            }
            continue;
        }
        let single = weights
            .iter()
            .find(|file| matches!(file.as_str(), "model.safetensors" | "pytorch_model.bin"));
        let index = top.iter().find(|file| index(file));
        let weights = match (single, index) {
            (Some(single), _) => Weights::Files(vec![(**single).clone()]),
            (None, Some(index)) => Weights::Index((**index).clone()),
            (None, None) => Weights::Files(weights.into_iter().cloned().collect()),
        };
        let mut side: Vec<String> =
            top.iter().copied().filter(|file| is_side(file, kind)).cloned().collect();
        // Named templates of a model with several lie in a folder of their own.
        side.extend(files.iter().filter(|f| f.starts_with("additional_chat_templates/")).cloned());
        // How an embedding model's states become one vector.
        side.extend(files.iter().filter(|f| f.ends_with("_Pooling/config.json")).cloned());
        return Ok(Plan { side, weights });
    }
    parts_in_folders(repo, files)
}

/// The weight files that a checkpoint's index names, sorted.
///
/// # Errors
/// [`crane_sdk::Error::InvalidFile`] if the index is not JSON of the known form.
pub(crate) fn shards(index_name: &str, index: &[u8]) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::HashMap<String, String>,
    }
    let damaged = |reason: String| {
        Error::Sdk(crane_sdk::Error::InvalidFile { file: index_name.to_owned(), reason })
    };
    let index: Index = serde_json::from_slice(index).map_err(|e| damaged(e.to_string()))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_relative(shard)) {
        Some(bad) => Err(damaged(format!("the shard name {bad:?} leads out of the folder"))),
        None => Ok(shards.into_iter().collect()),
    }
}

/// A model made of several networks, each in its own folder: speech and diffusion models.
fn parts_in_folders(repo: &str, files: &[String]) -> Result<Plan> {
    for kind in ["safetensors", "bin"] {
        let weights: Vec<String> =
            files.iter().filter(|file| is_weight(base(file), kind)).cloned().collect();
        if !weights.is_empty() {
            let side = files.iter().filter(|file| is_side(base(file), kind)).cloned().collect();
            return Ok(Plan { side, weights: Weights::Files(weights) });
        }
    }
    Err(Error::NotFound {
        what: "a weight file (.safetensors, .gguf, .bin)".to_owned(),
        place: repo.to_owned(),
        hint: "choose a repository that holds a model's weights".to_owned(),
    })
}

fn is_weight(file: &str, kind: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    match kind {
        // `consolidated` is the same weights again, in the layout of the publisher's own code.
        "safetensors" => {
            lower.ends_with(".safetensors")
                && !lower.starts_with("consolidated")
                && !lower.starts_with("adapter")
        }
        _ => lower.starts_with("pytorch_model") && lower.ends_with(".bin"),
    }
}

fn is_side(file: &str, kind: &str) -> bool {
    let other = if kind == "safetensors" { ".bin.index.json" } else { ".safetensors.index.json" };
    let by_name = matches!(file, "merges.txt" | "vocab.txt" | "tokenizer.model");
    let by_kind = [".json", ".jinja", ".tiktoken", ".yaml"].iter().any(|end| file.ends_with(end));
    let foreign = file.ends_with(".msgpack.index.json") || file.ends_with(".h5.index.json");
    (by_name || by_kind) && !file.ends_with(other) && !foreign && !file.starts_with('.')
}

/// The GGUF models of a repository: each a single file or all parts of a split set.
fn gguf_sets(files: &[String]) -> Vec<Vec<String>> {
    let mut sets = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".gguf")) {
        // A vision projector is a part of another model.
        if base(file).to_ascii_lowercase().contains("mmproj") {
            continue;
        }
        let set = split_set(file).unwrap_or_else(|| vec![file.clone()]);
        if set.first() == Some(file) {
            sets.push(set);
        }
    }
    sets
}

fn named_gguf(repo: &str, sets: &[Vec<String>], wanted: &str) -> Result<Weights> {
    let lower = wanted.to_ascii_lowercase();
    let by_name = sets.iter().filter(|set| set.iter().any(|file| file == wanted));
    let by_base = sets.iter().filter(|set| set.iter().any(|file| base(file) == wanted));
    let by_tag = sets.iter().filter(|set| set.first().is_some_and(|file| tag(file) == lower));
    let candidates: [Vec<&Vec<String>>; 3] =
        [by_name.collect(), by_base.collect(), by_tag.collect()];
    match candidates.iter().find(|found| !found.is_empty()).map(Vec::as_slice) {
        Some([set]) => Ok(Weights::Files((*set).clone())),
        Some(several) => Err(ambiguous(repo, several)),
        None => Err(Error::NotFound {
            what: wanted.to_owned(),
            place: repo.to_owned(),
            hint: match sets.iter().filter_map(|set| set.first()).cloned().collect::<Vec<_>>() {
                none if none.is_empty() => "it has no .gguf files; leave the file out".to_owned(),
                names => format!("it has {}", names.join(", ")),
            },
        }),
    }
}

fn usual_gguf(repo: &str, sets: &[Vec<String>]) -> Result<Vec<String>> {
    if let [only] = sets {
        return Ok(only.clone());
    }
    for preferred in PREFERRED {
        let found: Vec<&Vec<String>> = sets
            .iter()
            .filter(|set| set.first().is_some_and(|file| tag(file) == preferred))
            .collect();
        match found.as_slice() {
            [] => {}
            [set] => return Ok((*set).clone()),
            several => return Err(ambiguous(repo, several)),
        }
    }
    Err(ambiguous(repo, &sets.iter().collect::<Vec<_>>()))
}

fn ambiguous(repo: &str, sets: &[&Vec<String>]) -> Error {
    Error::Ambiguous {
        what: repo.to_owned(),
        choices: sets.iter().filter_map(|set| Some(format!("{repo}:{}", set.first()?))).collect(),
    }
}

/// The tag of a quantisation at the end of a GGUF name, lower case: `q4_k_m`.
fn tag(file: &str) -> String {
    let name = base(file).to_ascii_lowercase();
    let stem = name.strip_suffix(".gguf").unwrap_or(&name);
    // The numbers of a split set come after the tag: `-00001-of-00003`.
    let stem = match (split_set(&name), stem.len().checked_sub("-00001-of-00003".len())) {
        (Some(_), Some(end)) => stem.get(..end).unwrap_or(stem),
        _ => stem,
    };
    let last = stem.rsplit(['-', '.']).next().unwrap_or(stem);
    PREFERRED
        .iter()
        .find(|tag| last.strip_suffix(**tag).is_some_and(|head| head.ends_with('_')))
        .map_or_else(|| last.to_owned(), |tag| (*tag).to_owned())
}

fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], wanted: Option<&str>) -> Result<Plan> {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        plan("a/b", &files, wanted)
    }

    fn weights(files: &[&str], wanted: Option<&str>) -> Vec<String> {
        match chosen(files, wanted).unwrap().weights {
            Weights::Files(files) => files,
            Weights::Index(index) => vec![index],
        }
    }

    #[test]
    fn safetensors_come_before_pickles_and_other_formats() {
        let files = [
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "generation_config.json",
            "merges.txt",
            "model.safetensors",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.json",
            "consolidated.safetensors",
        ];
        let plan = chosen(&files, None).unwrap();
        assert_eq!(plan.weights, Weights::Files(vec!["model.safetensors".to_owned()]));
        assert_eq!(
            plan.side,
            ["config.json", "generation_config.json", "merges.txt", "tokenizer.json"]
        );
    }

    #[test]
    fn an_index_names_the_shards() {
        let files = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
        ];
        assert_eq!(weights(&files, None), ["model.safetensors.index.json"]);
        let index = br#"{"weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "1.safetensors"}}"#;
        assert_eq!(shards("index", index).unwrap(), ["1.safetensors", "2.safetensors"]);
        for bad in [&b"{}"[..], b"[", br#"{"weight_map": {"a": "../../.bashrc"}}"#] {
            assert_eq!(shards("index", bad).unwrap_err().exit_code(), 3);
        }
    }

    #[test]
    fn pickles_are_taken_where_there_is_nothing_else() {
        let files = ["config.json", "pytorch_model.bin", "training_args.bin"];
        assert_eq!(weights(&files, None), ["pytorch_model.bin"]);
    }

    #[test]
    fn parts_in_folders_are_all_taken() {
        let files =
            ["config.yaml", "LLM/config.json", "LLM/model.safetensors", "Codec/model.safetensors"];
        assert_eq!(weights(&files, None), ["LLM/model.safetensors", "Codec/model.safetensors"]);
    }

    #[test]
    fn the_usual_quantisation_is_picked() {
        let files =
            ["m-Q8_0.gguf", "m-q4_0.gguf", "m.Q4_K_M.gguf", "mmproj-f16.gguf", "config.json"];
        assert_eq!(weights(&files, None), ["m.Q4_K_M.gguf"]);
        assert_eq!(weights(&files, Some("q8_0")), ["m-Q8_0.gguf"]);
        assert_eq!(weights(&files, Some("m-q4_0.gguf")), ["m-q4_0.gguf"]);
        assert_eq!(weights(&["some-model.gguf"], None), ["some-model.gguf"]);
    }

    #[test]
    fn a_split_set_comes_whole() {
        let parts = ["q/m-q4_k_m-00001-of-00002.gguf", "q/m-q4_k_m-00002-of-00002.gguf"];
        let files = [parts[0], parts[1], "m-q8_0.gguf"];
        assert_eq!(weights(&files, None), parts);
        assert_eq!(weights(&files, Some("Q4_K_M")), parts);
        assert_eq!(weights(&files, Some(parts[1])), parts);
    }

    #[test]
    fn what_is_unclear_or_missing_is_said() {
        let twice = chosen(&["a-q4_0.gguf", "b-q4_0.gguf"], None).unwrap_err();
        assert!(twice.to_string().contains("a/b:a-q4_0.gguf"), "{twice}");
        assert!(matches!(chosen(&["x.gguf", "y.gguf"], None), Err(Error::Ambiguous { .. })));
        let missing = chosen(&["m-q4_0.gguf"], Some("q2_k")).unwrap_err().to_string();
        assert!(missing.contains("q2_k") && missing.contains("m-q4_0.gguf"), "{missing}");
        assert!(matches!(chosen(&["README.md"], None), Err(Error::NotFound { .. })));
    }
}
