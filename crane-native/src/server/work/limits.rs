//! How many bytes a request may have, by route, and a text that is to become tokens.

/// Bytes of a text whose tokens are asked for: a tokenizer takes about half a second and a hundred MiB for so many.
const MOST_TEXT: usize = 1 << 20;
/// More is taken where a model's context is so long that a text of as many bytes a token fits into it.
const BYTES_A_TOKEN: usize = 8;

/// The routes that take less than the largest body, and how many bytes.
pub const SMALLER: &[(&str, usize)] = &[
    // As much as 1 MiB of text takes where every second character is escaped.
    ("/tokenize", 4 << 20),
    // 1 Mi token ids.
    ("/detokenize", 8 << 20),
    // 4,096 characters, each escaped.
    ("/v1/audio/speech", 128 << 10),
];

/// The most bytes of a text that is tokenised for a model with this context.
pub fn most_text(context: usize) -> usize {
    MOST_TEXT.max(context.saturating_mul(BYTES_A_TOKEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_is_there() {
        let posts = |route| crate::server::ROUTES.contains(&("POST", route));
        assert!(SMALLER.iter().all(|(route, _)| posts(*route)));
        assert_eq!((most_text(2048), most_text(1 << 20)), (1 << 20, 8 << 20));
    }
}
