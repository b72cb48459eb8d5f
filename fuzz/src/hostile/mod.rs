//! A thousand files that lie: about lengths, counts, places, types, shapes and depth, for every parser of a model's files.
//!
//! Each case is a set of files, named by the parser that it is for, a slash, and what is wrong with it. They are made by small
//! functions from sound files and from nothing else, so that every run makes the same ones.

pub mod build;
pub mod checkpoints;
pub mod configs;
pub mod graphs;
pub mod heads;
pub mod pickles;
pub mod speech;

/// What a case is called, and its files by name.
pub type Case = (String, Vec<(String, Vec<u8>)>);

/// What makes the cases of each group: together they are large, and one group at a time will do.
pub const GROUPS: [fn() -> Vec<Case>; 9] = [
    heads::all,
    checkpoints::all,
    pickles::all,
    graphs::all,
    configs::all,
    speech::snac,
    speech::spark,
    speech::hibari,
    speech::lexicons,
];

/// Every case.
#[allow(dead_code, reason = "for those who want them at once")]
pub fn all() -> Vec<Case> {
    GROUPS.iter().flat_map(|group| group()).collect()
}

/// The bytes of a sound file of the tests.
pub fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures/");
    std::fs::read(format!("{folder}{name}")).unwrap_or_default()
}

/// A case of one file.
pub fn single(kind: &str, what: &str, file: &str, bytes: Vec<u8>) -> Case {
    (format!("{kind}/{what}"), vec![(file.to_owned(), bytes)])
}
