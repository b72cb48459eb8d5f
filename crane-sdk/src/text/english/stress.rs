//! Stress marks in phoneme strings: weakened, strengthened, put before the vowel they belong to.

/// Primary stress.
pub(super) const PRIMARY: char = 'ˈ';
/// Secondary stress.
pub(super) const SECONDARY: char = 'ˌ';
const MARKS: [char; 2] = [SECONDARY, PRIMARY];
/// Phonemes that can be stressed.
const VOWELS: &str = "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ";
const CONSONANTS: &str = "bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ";
/// Phonemes that weigh as two sounds.
const DOUBLE: &str = "AIOQWYʤʧ";

pub(super) fn is_vowel(c: char) -> bool {
    VOWELS.contains(c)
}

pub(super) fn is_consonant(c: char) -> bool {
    CONSONANTS.contains(c)
}

/// How long a phoneme string is.
pub(super) fn weight(phonemes: &str) -> usize {
    phonemes.chars().map(|c| if DOUBLE.contains(c) { 2 } else { 1 }).sum()
}

/// Changes the stress of a word by a level: below −1 takes all marks away, −1 makes primary stress secondary, −0.5 and 0
/// do so if there is any, 0 to 1 gives secondary stress to a word without, 1 and more raises secondary to primary, above 1
/// gives primary stress to a word without.
pub(super) fn apply(phonemes: &str, level: Option<f32>) -> String {
    let Some(level) = level else { return phonemes.to_owned() };
    let has = |mark: char| phonemes.contains(mark);
    let (bare, voiced) = (!phonemes.contains(MARKS), phonemes.contains(is_vowel));
    if level < -1.0 {
        phonemes.replace(MARKS, "")
    } else if level == -1.0 || ((level == 0.0 || level == -0.5) && has(PRIMARY)) {
        phonemes.replace(SECONDARY, "").replace(PRIMARY, "ˌ")
    } else if bare && (level == 0.0 || level == 0.5 || level == 1.0) {
        if voiced { before_vowel(SECONDARY, phonemes) } else { phonemes.to_owned() }
    } else if level >= 1.0 && !has(PRIMARY) && has(SECONDARY) {
        phonemes.replace(SECONDARY, "ˈ")
    } else if level > 1.0 && bare && voiced {
        before_vowel(PRIMARY, phonemes)
    } else {
        phonemes.to_owned()
    }
}

/// Puts a mark before the first vowel.
fn before_vowel(mark: char, phonemes: &str) -> String {
    let (head, tail) = phonemes.split_at(phonemes.find(is_vowel).unwrap_or(0));
    format!("{head}{mark}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_change_marks() {
        assert_eq!(apply("hˈæpˌi", Some(-2.0)), "hæpi");
        assert_eq!(apply("hˈæpˌi", Some(-0.5)), "hˌæpi");
        assert_eq!(apply("ðɪs", Some(0.5)), "ðˌɪs");
        assert_eq!(apply("ðˌɪs", Some(1.0)), "ðˈɪs");
        assert_eq!(apply("ðɪs", Some(2.0)), "ðˈɪs");
        assert_eq!(apply("s", Some(2.0)), "s");
        assert_eq!(apply("hˈæpˌi", None), "hˈæpˌi");
        assert_eq!(weight("ʧAt"), 5);
    }
}
