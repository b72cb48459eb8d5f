/**
 * hibari in headless Chromium on one thread: `node speech_bench.mjs turn SENTENCE SENTENCES.txt`, or `samples NATIVE OUT SENTENCES.txt`.
 *
 * `turn` opens a page and prints `first_ms` (SENTENCE is the first text after loading) and `factor` (all lines as one text: time
 * by duration). `samples` says each line by itself into `OUT/00.wav` and so on, compares them with those of NATIVE (`snr_db`), then
 * plays a minute of speech and counts its `underruns` and `seconds`. Both print one JSON object.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../../web/test/browser.mjs";
import { serve } from "../../web/test/serve.mjs";

const [what, ...rest] = process.argv.slice(2);
const lines = readFileSync(rest.at(-1), "utf8").trim().split("\n");

const server = await serve();
const browser = await launch(["--autoplay-policy=no-user-gesture-required"]);
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  await page.goto(`${server.address}/blank`);
  await page.evaluate(async () => {
    const { Crane } = await import("/npm/dist/index.js");
    globalThis.crane = await Crane.create({ threads: 1, hibariUrl: "/models/hibari/" });
    globalThis.tts = await crane.load("hibari");
  });
  const found = what === "turn" ? await turn(page, rest[0]) : await samples(page, rest[0], rest[1]);
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
  await server.close();
}

function turn(page, sentence) {
  return page.evaluate(
    async ([sentence, text]) => {
      const began = performance.now();
      let first_ms;
      for await (const _ of tts.speak(sentence)) first_ms ??= performance.now() - began;
      const start = performance.now();
      let samples = 0;
      for await (const piece of tts.speak(text)) samples += piece.length;
      const factor = (performance.now() - start) / 1e3 / (samples / tts.info.sampleRate);
      return { first_ms, factor };
    },
    [sentence, lines.join("\n")],
  );
}

async function samples(page, native, out) {
  mkdirSync(out, { recursive: true });
  let [signal, noise] = [0, 0];
  for (const [index, line] of lines.entries()) {
    // As the native program writes them: 16 bits, in base 64, since JSON would take minutes.
    const encoded = await page.evaluate(async (line) => {
      const pieces = [];
      for await (const piece of tts.speak(line)) pieces.push(...piece);
      const bytes = new Uint8Array(Int16Array.from(pieces, (sample) => Math.max(-1, Math.min(1, sample)) * 32767).buffer);
      let text = "";
      for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
      return btoa(text);
    }, line);
    const pcm = Buffer.from(encoded, "base64");
    const name = `${String(index).padStart(2, "0")}.wav`;
    const file = readFileSync(join(native, name));
    const [header, expected] = [file.subarray(0, 44), file.subarray(44)];
    if (header.toString("latin1", 36, 40) !== "data" || expected.length !== pcm.length) {
      throw new Error(`${name}: ${pcm.length} bytes of samples in the page, ${expected.length} in ${native}`);
    }
    writeFileSync(join(out, name), Buffer.concat([header, pcm]));
    for (let at = 0; at < pcm.length; at += 2) {
      signal += expected.readInt16LE(at) ** 2;
      noise += (expected.readInt16LE(at) - pcm.readInt16LE(at)) ** 2;
    }
  }
  const played = await page.evaluate(async (lines) => {
    const text = [...lines, ...lines].slice(0, 26).join("\n");
    const { samples, underruns } = await tts.speak(text).play();
    return { underruns, seconds: samples / tts.info.sampleRate };
  }, lines);
  return { snr_db: 10 * Math.log10(signal / noise), ...played };
}
