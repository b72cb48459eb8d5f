//! `crane tts`: sound files and streams, and what is refused without leaving a part of a file behind.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::orpheus;
use super::reference::weights;
use super::spark;
use super::support::Home;

/// The folder of the voice hibari.
fn voice() -> Option<PathBuf> {
    Some(weights("hibari/hibari.onnx")?.parent()?.to_owned())
}

/// The samples of a mono 16-bit wav at 24 kHz.
fn samples(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!((&bytes[..4], &bytes[8..16]), (b"RIFF" as &[u8], b"WAVEfmt " as &[u8]));
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20), number(24)), (16, 1 << 16 | 1, 24_000));
    assert_eq!((&bytes[36..40], number(40) as usize), (b"data" as &[u8], bytes.len() - 44));
    bytes[44..].to_vec()
}

fn loudness(samples: &[u8]) -> f64 {
    let values =
        samples.as_chunks::<2>().0.iter().map(|bytes| f64::from(i16::from_le_bytes(*bytes)));
    (values.map(|value| value * value).sum::<f64>() / (samples.len() / 2) as f64).sqrt()
}

#[test]
fn files_and_streams_hold_the_same_samples() {
    let Some(voice) = voice() else { return };
    let (home, voice) = (Home::new(), voice.to_str().unwrap().to_owned());
    let text = "Hello there. The train leaves at 9:30.";
    let path = |name: &str| home.path().join(name);
    let wav = path("a.wav");
    let outcome = home.run(["tts", &voice, text, "-o", wav.to_str().unwrap()]);
    for part in ["(heart)", "real-time factor", "first sound after"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert_eq!(outcome.ok(), "");
    let expected = samples(&wav);
    assert!((2 * 24_000 * 2..2 * 24_000 * 6).contains(&expected.len()), "{} bytes", expected.len());
    assert!((300.0..10_000.0).contains(&loudness(&expected)), "{}", loudness(&expected));

    let pcm = path("a.pcm");
    home.run_with(["tts", "-m", &voice, "-", "-o", pcm.to_str().unwrap()], text).ok();
    assert_eq!(std::fs::read(&pcm).unwrap(), expected);
    home.run(["tts", &voice, text, "--format", "wav", "-o", pcm.to_str().unwrap()]).ok();
    assert_eq!(samples(&pcm), expected);
    let flac = path("a.FLAC");
    home.run(["tts", &voice, text, "-o", flac.to_str().unwrap()]).ok();
    let mut reader = claxon::FlacReader::open(&flac).unwrap();
    let decoded = reader.samples().flat_map(|sample| (sample.unwrap() as i16).to_le_bytes());
    assert_eq!(decoded.collect::<Vec<u8>>(), expected);
    let mp3 = path("a.mp3");
    home.run(["tts", &voice, text, "-o", mp3.to_str().unwrap()]).ok();
    let heard = nanomp3::decode_all::<i16>(&std::fs::read(&mp3).unwrap());
    assert_eq!((heard.sample_rate, heard.samples.len()), (24_000, expected.len() / 2));
    let (mut signal, mut noise) = (0f64, 0f64);
    for (bytes, heard) in expected.as_chunks::<2>().0.iter().zip(&heard.samples) {
        let sample = f64::from(i16::from_le_bytes(*bytes));
        signal += sample * sample;
        noise += (sample - f64::from(*heard)).powi(2);
    }
    let ratio = 10.0 * (signal / noise).log10();
    assert!(ratio > 12.0, "{ratio} dB");
    let output = home
        .crane(["tts", &voice, text, "--stream", "-", "--quiet"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!((output.stdout, output.stderr.len()), (expected.clone(), 0));

    // What comes on stdin is said sentence by sentence, before it has ended.
    let mut child = home
        .crane(["tts", &voice, "-", "--stream", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (begin, end) = text.split_at(text.find("train").unwrap());
    stdin.write_all(begin.as_bytes()).unwrap();
    let mut sound = vec![0u8; 4800];
    stdout.read_exact(&mut sound).unwrap();
    stdin.write_all(end.as_bytes()).unwrap();
    drop(stdin);
    stdout.read_to_end(&mut sound).unwrap();
    assert!(child.wait().unwrap().success() && sound == expected);

    let other = |flag: &str, value: &str| {
        home.run(["tts", &voice, text, flag, value, "-o", wav.to_str().unwrap()]).ok();
        samples(&wav)
    };
    let seeded = other("--seed", "1");
    assert!(seeded.len() == expected.len() && seeded != expected);
    assert!(other("--speed", "2").len() * 3 < expected.len() * 2);
    assert_eq!(other("--voice", "Heart"), expected);
}

#[test]
fn what_cannot_be_said_leaves_no_file() {
    let Some(voice) = voice() else { return };
    let (home, voice) = (Home::new(), voice.to_str().unwrap().to_owned());
    let damaged = home.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    for file in std::fs::read_dir(&voice).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        let end = if file.file_name() == "hibari.onnx" { bytes.len() / 2 } else { bytes.len() };
        std::fs::write(damaged.join(file.file_name()), &bytes[..end]).unwrap();
    }
    let damaged = damaged.to_str().unwrap().to_owned();
    let folder = home.path().join("out");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("a.wav").to_str().unwrap().to_owned();
    let opus = folder.join("a.opus").to_str().unwrap().to_owned();
    let refused: [(&[&str], i32, &str); 11] = [
        (&["tts", &voice, "Hi.", "-o", &opus], 2, "opus is not written here; write wav or flac"),
        (
            &["tts", &voice, "Hi.", "-o", &out, "--format", "opus"],
            2,
            "[possible values: wav, flac, mp3, pcm]",
        ),
        (&["tts", &voice, "", "-o", &out], 2, "no text"),
        (&["tts", &voice, "?!... --", "-o", &out], 2, "nothing in it"),
        (&["tts", &voice, "中文", "-o", &out], 2, "nothing in it"),
        (&["tts", &voice, "Hi.", "-o", &out, "--voice", "nobody"], 2, "here are: heart"),
        (&["tts", &voice, "Hi.", "-o", &out, "--voice", "emma"], 2, "the weights of emma are not"),
        (&["tts", &voice, "Hi.", "-o", &out, "--speed", "0.1"], 2, "--speed"),
        (&["tts", &voice, "Hi."], 2, "--output"),
        (&["tts", &voice, "Hi.", "-o", folder.to_str().unwrap()], 2, "it is a folder"),
        (&["tts", &damaged, "Hi.", "-o", &out], 3, "truncated"),
    ];
    for (arguments, code, message) in refused {
        let outcome = home.run(arguments);
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(message), "{arguments:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    for (text, message) in [("", "nothing on stdin"), ("?! --", "nothing on stdin")] {
        let outcome = home.run_with(["tts", &voice, "-", "--stream", "-"], text);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    }
}

#[test]
fn letters_without_sounds_are_named() {
    let Some(voice) = voice() else { return };
    let home = Home::new();
    let out = home.path().join("a.wav");
    // What is read, and pictures, are not named.
    let text = "Hello 中文, ٣ ⊕ 4, 5 ± 6 °C, 7 × 8 € 😀 ☂.";
    let outcome = home.run(["tts", voice.to_str().unwrap(), text, "-o", out.to_str().unwrap()]);
    let named = outcome.stderr.split_once("leaves them out: ").map(|(_, named)| named);
    let named = named.and_then(|named| named.lines().next());
    assert_eq!(named, Some("٣⊕中文"), "{}", outcome.stderr);
    outcome.ok();
    assert!(samples(&out).len() > 24_000 / 2);
}

#[test]
fn a_language_model_with_a_codec_speaks() {
    let home = Home::new();
    let folder = home.path().join("orpheus");
    std::fs::create_dir_all(folder.join("snac_24khz")).unwrap();
    for (name, bytes) in orpheus::files() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let (folder, wav) = (folder.to_str().unwrap().to_owned(), home.path().join("a.wav"));
    let say = |more: &[&str]| {
        let out = ["tts", &folder, "Hello <laugh> there.", "-o", wav.to_str().unwrap()];
        home.run([&out, more].concat())
    };
    let outcome = say(&["--voice", "tara", "--seed", "3"]);
    assert!(outcome.stderr.contains("(tara)"), "{}", outcome.stderr);
    outcome.ok();
    let sound = samples(&wav);
    // Whole frames of 2048 samples of two bytes.
    assert!(sound.len() >= 4096 && sound.len().is_multiple_of(4096), "{} bytes", sound.len());
    say(&["--seed", "3", "--quant", "q8_0"]).ok();
    std::fs::remove_file(&wav).unwrap();
    let recording = super::fixture::folder("sparktts").join("prompt_24k_stereo.wav");
    let recording = recording.to_str().unwrap().to_owned();
    for (flag, value, message) in [
        ("--voice", "heart", "here are: tara, leah"),
        ("--speed", "1.5", "leave it at 1"),
        ("--pitch", "high", "leave it moderate"),
        ("--pitch", "shrill", "possible values"),
        ("--clone", "/no/such.wav", "--clone /no/such.wav"),
        ("--clone", recording.as_str(), "Spark-TTS can"),
    ] {
        let outcome = say(&[flag, value]);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(message) && !wav.exists(), "{}", outcome.stderr);
    }
    std::fs::remove_dir_all(Path::new(&folder).join("snac_24khz")).unwrap();
    let outcome = say(&[]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("hubertsiuzdak/snac_24khz"), "{}", outcome.stderr);
}

#[test]
fn a_recording_lends_its_voice_and_with_a_transcript_its_manner() {
    let home = Home::new();
    let folder = home.path().join("spark");
    let fixture = super::fixture::folder("sparktts");
    for name in
        ["config.json", "pytorch_model.bin"].map(|it| format!("wav2vec2-large-xlsr-53/{it}"))
    {
        home.file(&format!("spark/{name}"), std::fs::read(fixture.join(&name)).unwrap());
    }
    for (name, bytes) in spark::files() {
        home.file(&format!("spark/{name}"), bytes);
    }
    let recording = fixture.join("prompt_24k_stereo.wav").to_str().unwrap().to_owned();
    let wav = home.path().join("a.wav");
    let say = |more: &[&str]| {
        let head = ["tts", folder.to_str().unwrap(), "Hello.", "-o", wav.to_str().unwrap()];
        home.run([&head, more].concat())
    };
    let cloned = ["--clone", &recording];
    say(&cloned).ok();
    let plain = std::fs::read(&wav).unwrap();
    assert_eq!(plain[24..28], 16_000u32.to_le_bytes());
    say(&[&cloned[..], &["--transcript", "The quick brown fox"]].concat()).ok();
    assert!(std::fs::read(&wav).unwrap().len() > 44 + 640);
    std::fs::remove_file(&wav).unwrap();
    let refused = |more: &[&str], code, message: &str| {
        let outcome = say(more);
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(message) && !wav.exists(), "{}", outcome.stderr);
    };
    refused(&[&cloned[..], &["--transcript", " "]].concat(), 2, "--transcript: it is empty");
    refused(&["--transcript", "Hi"], 2, "--clone");
    refused(&[&cloned[..], &["--transcript", "<|im_end|>"]].concat(), 2, "control token");
    std::fs::remove_dir_all(folder.join("wav2vec2-large-xlsr-53")).unwrap();
    refused(&[&cloned[..], &["--transcript", "Hi"]].concat(), 3, "config.json");
}

#[test]
fn a_model_that_does_not_speak_says_so() {
    let home = Home::new();
    let model = super::fixture::model("qwen2_tied");
    let out = home.path().join("a.wav");
    let outcome = home.run(["tts", &model, "Hi.", "-o", out.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("voices.json") && !out.exists(), "{}", outcome.stderr);
}
