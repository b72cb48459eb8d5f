/** Language models with codecs in a page: hand-made ones say what the native program says, true-sized ones are planned and refused. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { likeness } from "./likeness.mjs";
import { serve } from "./serve.mjs";
import { BINARY, lacking, lacksBinary } from "./weights.mjs";

/** Writes the models: `cargo test` or `cargo build --examples` makes it. */
const MAKER = join(dirname(BINARY), "examples", "hand_made_voices");
const ORPHEUS = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "snac_24khz/config.json", "snac_24khz/pytorch_model.bin"];
const SPARK = ["BiCodec/config.yaml", "BiCodec/model.safetensors", "LLM/config.json", "LLM/model.safetensors", "LLM/tokenizer.json"];

let folder, server, browser;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "crane-voices-"));
  if (existsSync(MAKER)) execFileSync(MAKER, [folder]);
  server = await serve({ root: folder });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

async function inPage(work, argument) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${server.address}/blank`);
    await page.evaluate(async () => {
      const { Crane } = await import("/npm/dist/index.js");
      globalThis.crane = await Crane.create();
    });
    return await page.evaluate(work, argument);
  } finally {
    await context.close();
  }
}

for (const [name, files, voice] of [
  ["orpheus", ORPHEUS, "leo"],
  ["spark", SPARK, "male"],
]) {
  test(`${name} says in a page what it says natively, quantised and as stored`, async (t) => {
    if (lacksBinary(t) || (!existsSync(MAKER) && lacking(t, `${MAKER} (cargo build --release -p crane-sdk --examples)`))) return;
    for (const quantize of [undefined, "q8_0"]) {
      const options = quantize === undefined ? [] : ["--quant", quantize];
      const pcm = execFileSync(BINARY, ["tts", join(folder, name), "Hello there.", "--voice", voice, "--seed", "3", "-t", "1", "-q", "--stream", "-", ...options]);
      const expected = Array.from({ length: pcm.length / 2 }, (_, index) => pcm.readInt16LE(2 * index) / 32767);
      const { samples, pieces, info } = await inPage(
        async ({ name, files, voice, quantize }) => {
          const source = Object.fromEntries(files.map((file) => [file, `/${name}/${file}`]));
          const tts = await crane.loadSpeech(source, quantize ? { quantize } : {});
          const samples = [];
          let pieces = 0;
          for await (const piece of tts.speak("Hello there.", { voice, seed: 3 })) {
            samples.push(...piece);
            pieces += 1;
          }
          return { samples, pieces, info: tts.info };
        },
        { name, files, voice, quantize },
      );
      assert.ok(info.voices.includes(voice));
      assert.ok(info.memory.languageModel > 0 && info.memory.codec > 0 && info.memory.cache > 0, JSON.stringify(info.memory));
      assert.ok(expected.length > 1000 && pieces > 0);
      assert.equal(samples.length, expected.length);
      const ratio = likeness(samples, expected);
      t.diagnostic(`${quantize ?? "as stored"}: ${(samples.length / info.sampleRate).toFixed(2)} s in ${pieces} pieces, ${ratio.toFixed(1)} dB beside the native samples`);
      assert.ok(ratio > 55, `${ratio} dB`);
    }
  });
}

/** The tensors of canopylabs/orpheus-3b-0.1-ft: Llama-3.2-3B with a larger vocabulary. */
function orpheusTensors() {
  const [width, hidden, rows] = [3072, 8192, 156_940];
  const tensors = { "model.embed_tokens.weight": [rows, width], "lm_head.weight": [rows, width], "model.norm.weight": [width] };
  for (let layer = 0; layer < 28; layer++) {
    const name = `model.layers.${layer}`;
    for (const [part, shape] of Object.entries({ q_proj: [width, width], k_proj: [1024, width], v_proj: [1024, width], o_proj: [width, width] })) tensors[`${name}.self_attn.${part}.weight`] = shape;
    for (const [part, shape] of Object.entries({ gate_proj: [hidden, width], up_proj: [hidden, width], down_proj: [width, hidden] })) tensors[`${name}.mlp.${part}.weight`] = shape;
    for (const part of ["input_layernorm", "post_attention_layernorm"]) tensors[`${name}.${part}.weight`] = [width];
  }
  return tensors;
}

const ORPHEUS_CONFIG = {
  architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_act: "silu", hidden_size: 3072, intermediate_size: 8192, num_hidden_layers: 28, num_attention_heads: 24,
  num_key_value_heads: 8, head_dim: 128, rms_norm_eps: 1e-5, rope_theta: 500_000, max_position_embeddings: 131_072, vocab_size: 156_940, tie_word_embeddings: false, torch_dtype: "bfloat16",
};
const SNAC_CONFIG = {
  sampling_rate: 24_000, encoder_dim: 48, encoder_rates: [2, 4, 8, 8], decoder_dim: 1024, decoder_rates: [8, 8, 4, 2], attn_window_size: null, codebook_size: 4096, codebook_dim: 8,
  vq_strides: [4, 2, 1], noise: true, depthwise: true,
};

test("a model of Orpheus's true size is planned from its heads and refused with numbers", async (t) => {
  const tensors = orpheusTensors();
  const refusals = await inPage(
    async ({ tensors, config, snac }) => {
      // A file of zeros that takes no memory: one block, again and again.
      const block = new Blob([new Uint8Array(1 << 26)]);
      const file = (tensors, dtype, size) => {
        let end = 0;
        const entries = Object.entries(tensors).map(([name, shape]) => {
          const begin = end;
          end += shape.reduce((product, count) => product * count, size);
          return [name, { dtype, shape, data_offsets: [begin, end] }];
        });
        const head = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
        const length = new BigUint64Array([BigInt(head.length)]);
        return new Blob([length, head, ...Array(Math.floor(end / block.size)).fill(block), block.slice(0, end % block.size)]);
      };
      const json = (value) => new Blob([JSON.stringify(value)]);
      const source = {
        "config.json": json(config),
        "model.safetensors": file(tensors, "BF16", 2),
        "snac_24khz/config.json": json(snac),
        "snac_24khz/model.safetensors": file({ "decoder.model.1.weight": [1024, 768, 1], "encoder.x": [5000] }, "F32", 4),
      };
      const attempt = (options) => crane.loadSpeech(source, options).then(() => "none", ({ code, message, hint, memory }) => ({ code, message, hint, memory }));
      return { stored: await attempt(), quantised: await attempt({ quantize: "q8_0" }), memory: await crane.memory() };
    },
    { tensors, config: ORPHEUS_CONFIG, snac: SNAC_CONFIG },
  );
  const elements = Object.values(tensors).reduce((sum, shape) => sum + shape.reduce((product, count) => product * count, 1), 0);
  for (const [name, refusal] of [["stored", refusals.stored], ["quantised", refusals.quantised]]) {
    t.diagnostic(`${name}: ${refusal.message}; ${refusal.hint}`);
    assert.equal(refusal.code, "too_large");
    assert.ok(refusal.memory.needed > refusal.memory.available && refusal.memory.available > 4e9, JSON.stringify(refusal.memory));
  }
  assert.match(refusals.stored.hint, /quantize/);
  // 8 bits and a scale of 16 for 32 numbers; keys and values of 4096 tokens; what the codec's decoder holds.
  const expected = (elements * 34) / 32 + 4096 * 2 * 28 * 8 * 128 * 4 + 1024 * 768 * 4;
  assert.ok(Math.abs(refusals.quantised.memory.needed / expected - 1) < 0.001, `${refusals.quantised.memory.needed}, not ${expected}`);
  assert.match(refusals.quantised.message, /MiB of language model as q8_0, 3 MiB of codec, 896 MiB of cache/);
  assert.match(refusals.quantised.hint, /quantize: "q[654]_k", with which it needs \d+ MiB/);
  // No weight was read.
  assert.ok(refusals.memory.wasmBytes < 300e6, `${refusals.memory.wasmBytes}`);
});
