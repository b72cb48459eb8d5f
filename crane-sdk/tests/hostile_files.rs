//! A thousand files that lie, through the readers that they are for: each ends in a model or an error, within bounds of memory
//! and time that the files pay for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod counted_memory;
#[path = "../../fuzz/src/hostile/mod.rs"]
mod hostile;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use counted_memory::{Counted, peak_of};
use crane_sdk::Result;
use crane_sdk::codec::{BiCodec, Codec, Noise, Snac, SnacEncoder, SpeakerEncoder};
use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::{LoadOptions, LogitsRows, Segment, load};
use crane_sdk::pipeline::{Embedder, TextToSpeech, Voice};
use crane_sdk::source::{
    Checkpoint, Gguf, MemorySource, OnnxCheckpoint, SafetensorsCheckpoint, Source, TorchCheckpoint,
};
use crane_sdk::text::Tokenizer;
use crane_sdk::text::english::{Accent, English};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// What loading may take besides the planned weights: four times the files, and this.
const SLACK: usize = 64 << 20;
/// Seconds that a file may take on a machine that does other things too; each takes a fraction of one.
const MOST: Duration = Duration::from_secs(20);

/// Bytes of a file once it is unpacked.
fn unpacked(name: &str, bytes: &[u8]) -> usize {
    let mut sink = std::io::sink();
    match name.ends_with(".gz") {
        true => {
            let counted = std::io::copy(&mut flate2::read::GzDecoder::new(bytes), &mut sink);
            counted.map_or(bytes.len(), |count| count as usize)
        }
        false => bytes.len(),
    }
}

fn read_all(checkpoint: &dyn Checkpoint) -> Result<()> {
    for (name, _) in checkpoint.tensors().iter() {
        checkpoint.read(name)?;
    }
    Ok(())
}

/// Loads a model and asks it for a token.
fn model(source: &dyn Source) -> Result<()> {
    let loaded = load(source, &LoadOptions::default())?;
    let mut cache = loaded.model.new_cache(4.min(loaded.model.context_length()))?;
    let segment = Segment { tokens: &[0], cache: &mut cache, logits: LogitsRows::Last };
    loaded.model.forward(&mut [segment])?;
    Ok(())
}

fn gguf(source: &dyn Source) -> Result<()> {
    let gguf = Gguf::open(source, "model.gguf")?;
    read_all(&gguf)?;
    let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
    GenerationConfig::from_source(source, &tokenizer)?;
    model(source)
}

fn safetensors(source: &dyn Source) -> Result<()> {
    read_all(&SafetensorsCheckpoint::open(source)?)
}

fn torch(source: &dyn Source) -> Result<()> {
    read_all(&TorchCheckpoint::open(source)?)
}

fn onnx(source: &dyn Source) -> Result<()> {
    let weights = OnnxCheckpoint::read(source.open("model.onnx")?.as_ref())?;
    for name in ["a.weight", "b0.weight", "b2999.weight"] {
        let shape: [usize; 2] = weights.shape(name)?;
        weights.tensor(name, &shape)?;
    }
    Ok(())
}

fn generation(source: &dyn Source) -> Result<()> {
    let tokenizer = Tokenizer::from_source(source)?;
    GenerationConfig::from_source(source, &tokenizer)?.validate()
}

fn encoder(source: &dyn Source) -> Result<()> {
    let embedder = Embedder::from_source(source)?;
    embedder.embed_tokens(&[vec![2, 3]], embedder.pooling(), &Default::default())?;
    Ok(())
}

fn snac(source: &dyn Source) -> Result<()> {
    let codec = Snac::from_source(source)?;
    let frame = vec![0; codec.frame_codes()];
    codec.decode(&frame, Noise::Seed(1))?;
    SnacEncoder::from_source(source)?.encode(&[0.1; 100])?;
    Ok(())
}

fn spark(source: &dyn Source) -> Result<()> {
    BiCodec::from_source(source)?;
    let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
    SpeakerEncoder::from_source(source)?.encode(&tone, 16_000)?;
    Ok(())
}

fn hibari(source: &dyn Source) -> Result<()> {
    let tts = TextToSpeech::from_source(source)?;
    for chunk in tts.speak("Hello.", &Voice::default())? {
        chunk?;
    }
    Ok(())
}

fn lexicon(source: &dyn Source) -> Result<()> {
    English::from_source(source, Accent::American).map(drop)
}

/// What reads a case: the beginning of its name, and the parser.
type Reader = (&'static str, fn(&dyn Source) -> Result<()>);

const READERS: [Reader; 11] = [
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("torch", torch),
    ("onnx", onnx),
    ("config", model),
    ("generation", generation),
    ("encoder", encoder),
    ("snac", snac),
    ("spark", spark),
    ("hibari", hibari),
    ("lexicon", lexicon),
];

/// How many of a kind ended how, and the worst of them.
#[derive(Default)]
struct Tally {
    read: usize,
    refused: usize,
    /// Bytes beyond four times the files, and whose.
    most: (usize, String),
    slowest: (Duration, String),
}

#[test]
fn each_of_a_thousand_ends_within_its_bounds() {
    let only = std::env::var("HOSTILE").unwrap_or_default();
    let mut kinds: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut beyond = Vec::new();
    let cases = hostile::GROUPS.iter().flat_map(|group| group());
    for (name, files) in cases.filter(|(name, _)| name.contains(&only)) {
        let kind = name.split('/').next().unwrap();
        let (kind, read) = READERS.iter().find(|(known, _)| *known == kind).unwrap();
        let size: usize = files.iter().map(|(name, bytes)| unpacked(name, bytes)).sum();
        let source = files
            .into_iter()
            .fold(MemorySource::new("hostile"), |source, (name, bytes)| source.with(name, bytes));
        let start = Instant::now();
        let (found, peak) = peak_of(|| read(&source));
        let (took, tally) = (start.elapsed(), kinds.entry(kind).or_default());
        match &found {
            Ok(()) => tally.read += 1,
            Err(error) => {
                // The reason is told, and does not repeat the file.
                let message = error.to_string();
                assert!(message.len() < 20_000, "{name}: {} bytes of message", message.len());
                tally.refused += 1;
            }
        }
        let extra = peak.saturating_sub(4 * size);
        tally.most = std::mem::take(&mut tally.most).max((extra, name.clone()));
        tally.slowest = std::mem::take(&mut tally.slowest).max((took, name.clone()));
        if extra > SLACK || took > MOST {
            beyond.push(format!("{name}: {peak} bytes for {size}, {took:?}: {found:?}"));
        }
    }
    for (kind, Tally { read, refused, most, slowest }) in &kinds {
        println!(
            "{kind}: {read} read, {refused} refused; {} MB beyond four times the files ({}), {:?} ({})",
            most.0 >> 20,
            most.1,
            slowest.0,
            slowest.1
        );
    }
    assert!(beyond.is_empty(), "beyond their bounds:\n{}", beyond.join("\n"));
    if only.is_empty() {
        assert_eq!(kinds.len(), READERS.len());
        let count: usize = kinds.values().map(|tally| tally.read + tally.refused).sum();
        assert!(count >= 1000, "{count} files");
        assert!(kinds.values().all(|tally| tally.refused > 0));
    }
}
