//! What `:TAG` means of a repository's GGUF files: the part of a file's name behind the model's, as publishers write it.

use crate::folder::split_set;

/// What may stand before a quantisation and belongs to its tag: unsloth's dynamic ones, mradermacher's weighted ones.
const PREFIXES: [&str; 2] = ["ud", "i1"];

/// How a file answers to a name, the best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It is the file's path.
    Path,
    /// It is the file's name.
    Name,
    /// It is the file's name but for case, `.gguf` or the numbers of a split set.
    Stem,
    /// It is all that stands behind the name of the repository's model.
    Rest,
    /// It is the file's tag.
    Tag,
    /// The file's name ends in it: `Q4_K_XL` of `UD-Q4_K_XL`.
    End,
    /// It is the name of a folder that the file lies in.
    Folder,
    /// It is a quantisation that stands within the file's name: `Q4_K_M` of `m-Q4_K_M-imat`.
    Within,
}

/// How `file` of `repo` answers to `wanted`.
pub(super) fn fit(repo: &str, file: &str, wanted: &str) -> Option<Fit> {
    if file == wanted {
        return Some(Fit::Path);
    }
    if base(file) == wanted {
        return Some(Fit::Name);
    }
    let lower = wanted.to_lowercase();
    let wanted = lower.strip_suffix(".gguf").unwrap_or(&lower);
    let stem = stem(file);
    if stem == wanted || file.to_lowercase() == lower || base(file).to_lowercase() == lower {
        return Some(Fit::Stem);
    }
    if rest(repo, &stem) == Some(wanted) {
        return Some(Fit::Rest);
    }
    if tag(file) == wanted {
        return Some(Fit::Tag);
    }
    // Behind `_` a part of a quantisation would fit too: `0` of `Q8_0`.
    let parts = |before: &str| before.ends_with(['-', '.', ' ']);
    let ends = stem
        .strip_suffix(wanted)
        .is_some_and(|before| parts(before) || (before.ends_with('_') && is_quantisation(wanted)));
    if ends {
        return Some(Fit::End);
    }
    let mut folders = file.split('/').rev().skip(1);
    if folders.any(|folder| folder.to_lowercase() == wanted) {
        return Some(Fit::Folder);
    }
    let within = is_quantisation(wanted)
        && stem.match_indices(wanted).any(|(start, _)| {
            let (before, after) = stem.split_at(start);
            let after = after.get(wanted.len()..).unwrap_or_default();
            (parts(before) || before.ends_with('_'))
                && (after.is_empty() || after.starts_with(['-', '.', ' ']))
        });
    within.then_some(Fit::Within)
}

/// The tag of a GGUF file, lower case: `q4_k_m`, `ud-q4_k_xl`; the last part of its name where that has no quantisation.
pub(super) fn tag(file: &str) -> String {
    let stem = stem(file);
    let parts: Vec<&str> = stem.split(['-', '.', ' ']).collect();
    let mut last = None;
    for (index, part) in parts.iter().enumerate().rev() {
        // `model_q4_0` is one part.
        let starts = std::iter::once(0).chain(part.match_indices('_').map(|(at, _)| at + 1));
        let found = starts.filter_map(|start| part.get(start..)).find(|end| is_quantisation(end));
        if let Some(found) = found {
            let before = index.checked_sub(1).and_then(|index| parts.get(index));
            let prefix = before.filter(|before| found == *part && PREFIXES.contains(before));
            return prefix.map_or_else(|| found.to_owned(), |prefix| format!("{prefix}-{found}"));
        }
        last = last.or(Some(*part));
    }
    last.unwrap_or_default().to_owned()
}

/// A tag without what may stand before the quantisation.
pub(super) fn plain(tag: &str) -> &str {
    let mut prefixes =
        PREFIXES.iter().filter_map(|prefix| tag.strip_prefix(prefix)?.strip_prefix('-'));
    prefixes.next().unwrap_or(tag)
}

/// Whether a file is a part of another model or a by-product of quantising, and answers nobody.
pub(super) fn is_beside(file: &str) -> bool {
    let stem = stem(file);
    stem.contains("mmproj") || (stem.contains("imatrix") && !is_quantisation(plain(&tag(file))))
}

/// Whether a lower-case text begins as the name of a quantisation or a number type.
fn is_quantisation(text: &str) -> bool {
    let text = plain(text);
    let blocks = ["iq", "tq", "q"].iter().any(|kind| {
        let bits = text.strip_prefix(kind);
        bits.is_some_and(|bits| bits.starts_with(|bits: char| bits.is_ascii_digit()))
    });
    let number = text.split(['_', '-']).next().unwrap_or(text);
    let numbers = ["f16", "bf16", "f32", "fp16", "fp32", "mxfp4", "nvfp4"];
    blocks || numbers.contains(&number)
}

/// What stands behind the model's name, which is the repository's without `-GGUF`.
fn rest<'a>(repo: &str, stem: &'a str) -> Option<&'a str> {
    let repo = repo.to_lowercase();
    let name = repo.rsplit('/').next().unwrap_or(&repo);
    let name =
        ["-gguf", "_gguf", ".gguf"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let name = name.strip_suffix("-i1").unwrap_or(name);
    stem.strip_prefix(name)?.strip_prefix(['-', '.', ' ', '_'])
}

/// The name of a file, lower case, without `.gguf` and the numbers of a split set.
fn stem(file: &str) -> String {
    let name = base(file).to_lowercase();
    let stem = name.strip_suffix(".gguf").unwrap_or(&name);
    let end = stem.len().checked_sub("-00001-of-00003".len());
    match (split_set(&name), end) {
        (Some(_), Some(end)) => stem.get(..end).unwrap_or(stem).to_owned(),
        _ => stem.to_owned(),
    }
}

pub(super) fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_what_publishers_write() {
        for (file, expected) in [
            ("m-Q4_K_M.gguf", "q4_k_m"),
            ("m.Q4_K_M.gguf", "q4_k_m"),
            ("m Q8_0.gguf", "q8_0"),
            ("model_q4_0.gguf", "q4_0"),
            ("Qwen3-8B-UD-Q4_K_XL.gguf", "ud-q4_k_xl"),
            ("m.i1-IQ3_XXS.gguf", "i1-iq3_xxs"),
            ("UD-Q2_K_XL/m-UD-Q2_K_XL-00001-of-00003.gguf", "ud-q2_k_xl"),
            ("m-TQ1_0.gguf", "tq1_0"),
            ("m-Q4_K_M-imat.gguf", "q4_k_m"),
            ("gpt-oss-20b-mxfp4.gguf", "mxfp4"),
            ("m-fp16.gguf", "fp16"),
            ("stories260K.gguf", "stories260k"),
            ("a-v2.gguf", "v2"),
        ] {
            assert_eq!(tag(file), expected, "{file}");
        }
        assert_eq!(
            (plain("ud-q4_k_xl"), plain("i1-q4_0"), plain("q4_0")),
            ("q4_k_xl", "q4_0", "q4_0")
        );
    }

    #[test]
    fn files_answer_to_more_than_their_tag() {
        for (file, wanted, expected) in [
            ("q/m-Q4_0.gguf", "q/m-Q4_0.gguf", Some(Fit::Path)),
            ("q/m-Q4_0.gguf", "m-Q4_0.gguf", Some(Fit::Name)),
            ("q/m-Q4_0.gguf", "M-q4_0", Some(Fit::Stem)),
            ("m-Q4_0-00001-of-00002.gguf", "m-q4_0", Some(Fit::Stem)),
            ("Great-7B-128K-Q4_0.gguf", "128k-q4_0", Some(Fit::Rest)),
            ("great-7b-Q4_0.gguf", "q4_0", Some(Fit::Rest)),
            ("m-Q4_0.gguf", "q4_0", Some(Fit::Tag)),
            ("m-UD-Q4_K_XL.gguf", "Q4_K_XL", Some(Fit::End)),
            ("m-chat-v2.gguf", "chat-v2", Some(Fit::End)),
            ("Q6_K/m-00001-of-00002.gguf", "q6_k", Some(Fit::Folder)),
            ("m-Q4_0-imat.gguf", "q4_0-imat", Some(Fit::End)),
            ("m-Q8_0.gguf", "0", None),
            ("m-Q4_K_M.gguf", "M", None),
            ("m-Q4_K_M.gguf", "q4_k", None),
            ("m-IQ4_XS.gguf", "Q4_XS", None),
        ] {
            assert_eq!(fit("a/Great-7B-GGUF", file, wanted), expected, "{file}:{wanted}");
        }
    }

    #[test]
    fn by_products_answer_nobody() {
        for file in
            ["mmproj-F16.gguf", "m-mmproj-f16.gguf", "imatrix_unsloth.gguf", "m.imatrix.gguf"]
        {
            assert!(is_beside(file), "{file}");
        }
        for file in ["m-Q4_0.gguf", "m-IQ2_M-imatrix.gguf", "m.gguf"] {
            assert!(!is_beside(file), "{file}");
        }
    }
}
