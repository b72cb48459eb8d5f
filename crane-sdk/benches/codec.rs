//! How fast codecs decode at the sizes of the published models, with random weights: `cargo bench -p crane-sdk --bench codec`.
//!
//! `RAYON_NUM_THREADS` says how many threads. The time does not depend on what the weights are. After `--`, `--json` prints one
//! JSON object, and `--hibari FOLDER` also compares that voice's pieces with the whole.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::Arc;
use std::time::Instant;

use crane_sdk::codec::{BiCodec, BiCodecVoice, Codec, Noise, Snac};
use crane_sdk::models::hibari::Hibari;
use crane_sdk::source::{MemorySource, OnnxCheckpoint, Source as _};
use serde_json::{Value, json};

/// Named tensors of random numbers, as a safetensors file.
#[derive(Default)]
struct Random {
    tensors: Vec<(String, Vec<usize>)>,
}

impl Random {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push((name.to_owned(), shape.to_vec()));
    }

    /// A convolution with its bias.
    fn conv(&mut self, name: &str, shape: [usize; 3], outputs: usize) {
        self.add(&format!("{name}.weight"), &shape);
        self.add(&format!("{name}.bias"), &[outputs]);
    }

    fn linear(&mut self, name: &str, [outputs, inputs]: [usize; 2]) {
        self.add(&format!("{name}.weight"), &[outputs, inputs]);
        self.add(&format!("{name}.bias"), &[outputs]);
    }

    /// A norm of the width of BiCodec's backbones.
    fn norm(&mut self, name: &str) {
        self.add(&format!("{name}.weight"), &[384]);
        self.add(&format!("{name}.bias"), &[384]);
    }

    /// A residual unit whose first convolution sees so many channels.
    fn unit(&mut self, name: &str, [width, inputs]: [usize; 2]) {
        self.add(&format!("{name}.block.0.alpha"), &[1, width, 1]);
        self.conv(&format!("{name}.block.1"), [width, inputs, 7], width);
        self.add(&format!("{name}.block.2.alpha"), &[1, width, 1]);
        self.conv(&format!("{name}.block.3"), [width, width, 1], width);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut state = 1u32;
        let mut data = Vec::new();
        for (name, shape) in &self.tensors {
            let count: usize = shape.iter().product();
            // As wide as initialisers make them, so that signals neither die nor grow.
            let scale =
                if name.ends_with("alpha") { 1.0 } else { (shape[0] as f32 / count as f32).sqrt() };
            let mut bytes = Vec::with_capacity(4 * count);
            for _ in 0..count {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let number = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
                let number =
                    if name.ends_with("alpha") { number.abs() + 0.1 } else { number * scale };
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            data.push(bytes);
        }
        let views = self.tensors.iter().zip(&data).map(|((name, shape), bytes)| {
            let dtype = safetensors::Dtype::F32;
            (
                name.as_str(),
                safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap(),
            )
        });
        safetensors::serialize(views, None).unwrap()
    }
}

/// The decoder of hubertsiuzdak/snac_24khz.
fn snac() -> Snac {
    let config = r#"{"sampling_rate": 24000, "encoder_dim": 48, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 1024,
        "decoder_rates": [8, 8, 4, 2], "attn_window_size": null, "codebook_size": 4096, "codebook_dim": 8,
        "vq_strides": [4, 2, 1], "noise": true, "depthwise": true}"#;
    let mut random = Random::default();
    for level in 0..3 {
        let name = format!("quantizer.quantizers.{level}");
        random.add(&format!("{name}.codebook.weight"), &[4096, 8]);
        random.conv(&format!("{name}.in_proj"), [8, 768, 1], 8);
        random.conv(&format!("{name}.out_proj"), [768, 8, 1], 768);
    }
    random.conv("decoder.model.0", [768, 1, 7], 768);
    random.conv("decoder.model.1", [1024, 768, 1], 1024);
    let mut width = 1024;
    for (index, rate) in [8, 8, 4, 2].into_iter().enumerate() {
        let name = format!("decoder.model.{}.block", index + 2);
        random.add(&format!("{name}.0.alpha"), &[1, width, 1]);
        random.conv(&format!("{name}.1"), [width, width / 2, 2 * rate], width / 2);
        width /= 2;
        random.add(&format!("{name}.2.linear.weight"), &[width, width, 1]);
        for unit in 3..6 {
            random.unit(&format!("{name}.{unit}"), [width, 1]);
        }
    }
    random.add("decoder.model.6.alpha", &[1, width, 1]);
    random.conv("decoder.model.7", [1, width, 7], 1);
    let source = MemorySource::new("snac_24khz")
        .with("config.json", config.as_bytes().to_vec())
        .with("model.safetensors", random.bytes());
    Snac::from_source(&source).unwrap()
}

/// The decoder of SparkAudio/Spark-TTS-0.5B.
fn bicodec() -> BiCodecVoice {
    let config = "audio_tokenizer:
  mel_params: {sample_rate: 16000, n_fft: 1024, win_length: 640, hop_length: 320, mel_fmin: 10, mel_fmax: null, num_mels: 128}
  decoder: {input_channel: 1024, channels: 1536, rates: [8, 5, 4, 2], kernel_sizes: [16, 11, 8, 4]}
  quantizer: {codebook_size: 8192, codebook_dim: 8}
  speaker_encoder: {out_dim: 1024, latent_dim: 128, token_num: 32, fsq_levels: [4, 4, 4, 4, 4, 4], fsq_num_quantizers: 1}
  prenet: {vocos_dim: 384, vocos_num_layers: 12, sample_ratios: [1, 1], use_tanh_at_final: false}
";
    let mut random = Random::default();
    random.add("quantizer.codebook.weight", &[8192, 8]);
    random.conv("quantizer.out_project", [1024, 8, 1], 1024);
    random.linear("speaker_encoder.quantizer.project_out", [128, 6]);
    random.linear("speaker_encoder.project", [1024, 128 * 32]);
    random.linear("prenet.linear_pre", [384, 1024]);
    random.linear("prenet.linear", [1024, 384]);
    for (name, blocks, condition) in [
        ("prenet.downsample.0.1", 2, None),
        ("prenet.downsample.1.1", 2, None),
        ("prenet.vocos_backbone", 12, Some(1024)),
    ] {
        let norm = |random: &mut Random, name: &str| match condition {
            None => random.norm(name),
            Some(condition) => {
                random.linear(&format!("{name}.scale"), [384, condition]);
                random.linear(&format!("{name}.shift"), [384, condition]);
            }
        };
        random.conv(&format!("{name}.embed"), [384, 384, 7], 384);
        norm(&mut random, &format!("{name}.norm"));
        random.norm(&format!("{name}.final_layer_norm"));
        for block in 0..blocks {
            let name = format!("{name}.convnext.{block}");
            random.conv(&format!("{name}.dwconv"), [384, 1, 7], 384);
            norm(&mut random, &format!("{name}.norm"));
            random.linear(&format!("{name}.pwconv1"), [2048, 384]);
            random.linear(&format!("{name}.pwconv2"), [384, 2048]);
            random.add(&format!("{name}.gamma"), &[384]);
        }
    }
    random.conv("decoder.model.0", [1536, 1024, 7], 1536);
    let mut width = 1536;
    for (index, taps) in [16, 11, 8, 4].into_iter().enumerate() {
        let name = format!("decoder.model.{}.block", index + 1);
        random.add(&format!("{name}.0.alpha"), &[1, width, 1]);
        random.conv(&format!("{name}.1"), [width, width / 2, taps], width / 2);
        width /= 2;
        for unit in 2..5 {
            random.unit(&format!("{name}.{unit}"), [width, width]);
        }
    }
    random.add("decoder.model.5.alpha", &[1, width, 1]);
    random.conv("decoder.model.6", [1, width, 7], 1);
    let source = MemorySource::new("Spark-TTS-0.5B")
        .with("BiCodec/config.yaml", config.as_bytes().to_vec())
        .with("BiCodec/model.safetensors", random.bytes());
    let codec = Arc::new(BiCodec::from_source(&source).unwrap());
    BiCodecVoice::new(codec, &[0; 32]).unwrap()
}

/// Decodes ten seconds five times in pieces of 8192 samples, then `together` frames at a time as a language model gives them.
fn measure(name: &str, codec: &dyn Codec, together: usize) -> Value {
    let frames = 10 * codec.sample_rate() as usize / codec.frame_samples();
    let size = codec.codebook_size() as u32;
    let codes: Vec<u32> =
        (0..frames * codec.frame_codes()).map(|i| i as u32 * 2_654_435_761 % size).collect();
    let seconds = |samples: usize| samples as f64 / f64::from(codec.sample_rate());
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let samples = codec.decode(&codes, Noise::Seed(0)).unwrap();
        times.push(start.elapsed().as_secs_f64() / seconds(samples.len()));
    }
    let mut stream = codec.stream(Noise::Seed(0));
    let start = Instant::now();
    let (mut pieces, mut first) = (Vec::new(), None);
    for frame in codes.chunks(together * codec.frame_codes()) {
        pieces.extend(stream.push(frame, false).unwrap());
        first = first.or((!pieces.is_empty()).then(|| start.elapsed()));
    }
    pieces.extend(stream.push(&[], true).unwrap());
    let streamed = start.elapsed().as_secs_f64() / seconds(pieces.len());
    let whole = codec.stream(Noise::Seed(0)).push(&codes, true).unwrap();
    json!({
        "name": name, "factors": times, "frames_at_a_time": together, "streamed_factor": streamed,
        "first_sound_ms": first.unwrap_or_default().as_secs_f64() * 1e3, "joins_db": joins(&pieces, &whole),
    })
}

/// Signal to noise of pieces beside the whole, in dB; nothing where they are the same to the last bit.
fn joins(pieces: &[f32], whole: &[f32]) -> Option<f64> {
    assert_eq!(pieces.len(), whole.len());
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let noise = power(&mut pieces.iter().zip(whole).map(|(a, b)| f64::from(a - b)));
    let signal = power(&mut whole.iter().map(|x| f64::from(*x)));
    (noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

/// A sentence of the voice in this folder, in its pieces and whole.
fn hibari(folder: &str) -> Option<f64> {
    let read = |name: &str| std::fs::read(std::path::Path::new(folder).join(name)).unwrap();
    let source = MemorySource::new("hibari").with("hibari.onnx", read("hibari.onnx"));
    let weights = OnnxCheckpoint::read(source.open("hibari.onnx").unwrap().as_ref()).unwrap();
    let vocabulary = serde_json::from_slice(&read("vocab.json")).unwrap();
    let voice = Arc::new(Hibari::new(&weights, vocabulary).unwrap());
    let cancel = crane_sdk::generate::CancelToken::new();
    let say = || voice.say("həlˈO ðˈɛɹ, wˈɜɹld: hˌW ˌɑɹ ju tədˈA?", 1.0, 0, &cancel).unwrap();
    let pieces: Vec<Vec<f32>> = say().map(|piece| piece.unwrap()).collect();
    assert!(pieces.len() > 2);
    joins(&pieces.concat(), &say().whole().unwrap())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // A code of BiCodec alone would read all weights for 20 ms of sound.
    let found = [measure("SNAC 24 kHz", &snac(), 1), measure("BiCodec", &bicodec(), 25)];
    let threads = crane_sdk::kernels::threads::thread_count();
    let folder = arguments.iter().skip_while(|word| *word != "--hibari").nth(1);
    if arguments.iter().any(|word| word == "--json") {
        let hibari = folder.map(|folder| json!({"joins_db": hibari(folder)}));
        println!("{}", json!({"threads": threads, "codecs": found, "hibari": hibari}));
        return;
    }
    println!("{threads} threads");
    for codec in found {
        println!("{codec:#}");
    }
}
