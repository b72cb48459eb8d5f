//! Which files of a repository make up the model: weights as published, or one quantisation.

use std::collections::BTreeSet;

use crane_sdk::source::without_bom;
use serde::Deserialize;

use super::tags::{self, base};
use crate::folder::{is_relative, split_set};
use crate::{Error, Result};

/// Quantisations in the order in which an unnamed one is picked: small and good first.
const PREFERRED: [&str; 15] = [
    "q4_k_m", "q4_k_xl", "q4_k_s", "q4_0", "q4_1", "q5_k_m", "q5_k_s", "q5_0", "q8_0", "q6_k",
    "iq4_xs", "q3_k_m", "f16", "bf16", "f32",
];

/// The tag that other tools write where none is meant.
const LATEST: &str = "latest";

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

/// Chooses from a repository's files. `wanted` is a `.gguf` name or a tag as publishers write it, in any case; `latest` is
/// what is chosen without one.
///
/// # Errors
/// [`Error::NotFound`] if there are no weights or not the wanted ones, [`Error::Ambiguous`] if
/// several files fit equally well.
pub(crate) fn plan(repo: &str, files: &[String], wanted: Option<&str>) -> Result<Plan> {
    let ggufs = gguf_sets(files);
    let is_usual = |wanted: &&str| {
        wanted.eq_ignore_ascii_case(LATEST) && best(repo, &ggufs, wanted).is_empty()
    };
    if let Some(wanted) = wanted.filter(|wanted| !is_usual(wanted)) {
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

/// The files that a name of the command line means: those of that path or name, or of that tag.
///
/// # Errors
/// As [`plan`].
pub(crate) fn named(repo: &str, files: &[String], wanted: &str) -> Result<Vec<String>> {
    let exact: Vec<String> =
        files.iter().filter(|file| *file == wanted || base(file) == wanted).cloned().collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    Ok(match plan(repo, files, Some(wanted))?.weights {
        Weights::Files(files) => files,
        Weights::Index(index) => vec![index],
    })
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
    let index: Index =
        serde_json::from_slice(without_bom(index)).map_err(|e| damaged(e.to_string()))?;
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
        if tags::is_beside(file) {
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
    match best(repo, sets, wanted).as_slice() {
        [set] => Ok(Weights::Files((*set).clone())),
        several @ [_, ..] => Err(ambiguous(&format!("{repo}:{wanted}"), repo, several)),
        [] => Err(Error::NotFound {
            what: wanted.to_owned(),
            place: repo.to_owned(),
            hint: match sets.iter().filter_map(|set| set.first()).cloned().collect::<Vec<_>>() {
                none if none.is_empty() => "it has no .gguf files; leave the file out".to_owned(),
                names => format!("it has {}", names.join(", ")),
            },
        }),
    }
}

/// The sets that answer best to a name.
fn best<'a>(repo: &str, sets: &'a [Vec<String>], wanted: &str) -> Vec<&'a Vec<String>> {
    let fits = |set: &'a Vec<String>| {
        let fit = set.iter().filter_map(|file| tags::fit(repo, file, wanted)).min()?;
        Some((fit, set))
    };
    let fits: Vec<_> = sets.iter().filter_map(fits).collect();
    let best = fits.iter().map(|(fit, _)| *fit).min();
    fits.iter().filter(|(fit, _)| Some(*fit) == best).map(|(_, set)| *set).collect()
}

fn usual_gguf(repo: &str, sets: &[Vec<String>]) -> Result<Vec<String>> {
    if let [only] = sets {
        return Ok(only.clone());
    }
    let tags: Vec<(String, &Vec<String>)> =
        sets.iter().filter_map(|set| Some((tags::tag(set.first()?), set))).collect();
    // A repository may have nothing but quantisations of its publisher's own kind.
    let spellings: [fn(&str) -> &str; 2] = [|tag| tag, tags::plain];
    for spell in spellings {
        for preferred in PREFERRED {
            let of_it = tags.iter().filter(|(tag, _)| spell(tag) == preferred);
            let found: Vec<&Vec<String>> = of_it.map(|(_, set)| *set).collect();
            match found.as_slice() {
                [] => continue,
                [set] => return Ok((*set).clone()),
                _ => {}
            }
            // Of several models the one that the repository is named after.
            return match best(repo, sets, preferred).as_slice() {
                [set] => Ok((*set).clone()),
                _ => Err(ambiguous(repo, repo, &found)),
            };
        }
    }
    Err(ambiguous(repo, repo, &sets.iter().collect::<Vec<_>>()))
}

fn ambiguous(what: &str, repo: &str, sets: &[&Vec<String>]) -> Error {
    Error::Ambiguous {
        what: what.to_owned(),
        choices: sets.iter().filter_map(|set| Some(format!("{repo}:{}", set.first()?))).collect(),
    }
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
    fn a_tag_is_what_the_publisher_writes() {
        let files = [
            "BF16/m-BF16-00001-of-00002.gguf",
            "BF16/m-BF16-00002-of-00002.gguf",
            "m-IQ4_XS.gguf",
            "m-Q4_K_XL.gguf",
            "m-UD-Q4_K_XL.gguf",
            "m-UD-Q2_K_XL.gguf",
            "m Q8_0.gguf",
            "draft/m-0.6B-Q8_0.gguf",
            "imatrix_m.gguf",
            "mmproj-F16.gguf",
        ];
        for (wanted, expected) in [
            ("UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
            ("ud-q4_k_xl", "m-UD-Q4_K_XL.gguf"),
            ("Q4_K_XL", "m-Q4_K_XL.gguf"),
            ("Q2_K_XL", "m-UD-Q2_K_XL.gguf"),
            ("M-iq4_xs.GGUF", "m-IQ4_XS.gguf"),
            ("m q8_0", "m Q8_0.gguf"),
            ("0.6B-Q8_0", "draft/m-0.6B-Q8_0.gguf"),
            ("bf16", "BF16/m-BF16-00001-of-00002.gguf"),
        ] {
            assert_eq!(weights(&files, Some(wanted))[0], expected, "{wanted}");
        }
        assert_eq!(weights(&files, Some("bf16")).len(), 2);
        assert!(matches!(chosen(&files, Some("Q8_0")), Err(Error::Ambiguous { .. })));
        assert!(matches!(chosen(&files, Some("K_XL")), Err(Error::NotFound { .. })));
    }

    #[test]
    fn the_latest_is_the_usual_one() {
        let files = ["m-Q8_0.gguf", "m-UD-Q4_K_XL.gguf", "m-UD-Q2_K_XL.gguf"];
        for wanted in [None, Some("latest"), Some("LATEST")] {
            assert_eq!(weights(&files, wanted), ["m-Q8_0.gguf"], "{wanted:?}");
            assert_eq!(weights(&files[1..], wanted), ["m-UD-Q4_K_XL.gguf"], "{wanted:?}");
            let safetensors = ["config.json", "model.safetensors"];
            assert_eq!(weights(&safetensors, wanted), ["model.safetensors"], "{wanted:?}");
        }
        assert_eq!(weights(&["m-latest.gguf", "m-q4_0.gguf"], Some("latest")), ["m-latest.gguf"]);
        // Of two models the one that the repository (a/b) is named after.
        let two = ["b-Q4_K_M.gguf", "b-128K-Q4_K_M.gguf"];
        assert_eq!(weights(&two, None), ["b-Q4_K_M.gguf"]);
        assert_eq!(weights(&two, Some("q4_k_m")), ["b-Q4_K_M.gguf"]);
        assert_eq!(weights(&two, Some("128K-Q4_K_M")), ["b-128K-Q4_K_M.gguf"]);
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
        let twice = chosen(&["x-q4_0.gguf", "y-q4_0.gguf"], None).unwrap_err();
        assert!(twice.to_string().contains("a/b:x-q4_0.gguf"), "{twice}");
        let named = chosen(&["x-q4_0.gguf", "y-q4_0.gguf"], Some("Q4_0")).unwrap_err().to_string();
        for said in ["a/b:Q4_0 is ambiguous", "a/b:x-q4_0.gguf", "a/b:y-q4_0.gguf"] {
            assert!(named.contains(said), "{named}");
        }
        assert!(matches!(chosen(&["x.gguf", "y.gguf"], None), Err(Error::Ambiguous { .. })));
        let missing = chosen(&["m-q4_0.gguf"], Some("q2_k")).unwrap_err().to_string();
        assert!(missing.contains("q2_k") && missing.contains("m-q4_0.gguf"), "{missing}");
        assert!(matches!(chosen(&["README.md"], None), Err(Error::NotFound { .. })));
    }
}
