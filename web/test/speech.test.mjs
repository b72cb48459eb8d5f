/** The voice in a page: the native program's samples, pieces in time, playback without gaps, and what is refused. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { likeness } from "./likeness.mjs";
import { MODELS, serve } from "./serve.mjs";
import { BINARY, lacking, lacksBinary } from "./weights.mjs";

/** What the page says. */
const SPOKEN = "Rice is often served in round bowls. The juice of lemons makes fine punch.";
const TEXT = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background, for $3.50.";

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch(["--autoplay-policy=no-user-gesture-required"]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

function withVoice(name, body) {
  test(name, async (t) => {
    const folder = join(MODELS, "hibari");
    if (!existsSync(join(folder, "hibari.onnx")) && lacking(t, folder)) return;
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`${server.address}/blank`);
      await page.evaluate(async () => {
        const { Crane } = await import("/npm/dist/index.js");
        globalThis.crane = await Crane.create({ hibariUrl: "/models/hibari/" });
        globalThis.tts = await crane.load("hibari");
        globalThis.attempt = (promise) => promise.then(() => "none", ({ code, message }) => `${code}: ${message}`);
      });
      await body(page, t);
    } finally {
      await context.close();
    }
  });
}

/** What the native program says, as 16-bit samples. */
function native(text) {
  const bytes = execFileSync(BINARY, ["tts", join(MODELS, "hibari"), text, "-t", "1", "--stream", "-"], { stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 });
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readInt16LE(2 * index) / 32767);
}

withVoice("the samples are the native program's, and come in time", async (page, t) => {
  if (lacksBinary(t)) return;
  const { samples, first, seconds, rate } = await page.evaluate(async (text) => {
    for await (const _ of tts.speak("Hello there.")); // the engine is compiled further while it runs
    const began = performance.now();
    let first;
    const samples = [];
    for await (const piece of tts.speak(text)) {
      first ??= performance.now() - began;
      samples.push(...piece);
    }
    return { samples, first, seconds: (performance.now() - began) / 1000, rate: tts.info.sampleRate };
  }, TEXT);
  t.diagnostic(`${(samples.length / rate).toFixed(2)} s of speech in ${seconds.toFixed(3)} s, first sound after ${first.toFixed(0)} ms`);
  const expected = native(TEXT);
  assert.equal(samples.length, expected.length);
  const ratio = likeness(samples, expected);
  t.diagnostic(`${ratio.toFixed(1)} dB between the page's samples and the native program's`);
  assert.ok(ratio > 40, `${ratio} dB`);
});

withVoice("a text that is being written is read sentence by sentence", async (page) => {
  const { written, whole, early } = await page.evaluate(async () => {
    const sentences = ["The juice of lemons makes fine punch. ", "Four hours of steady work faced us. "];
    let finished = false;
    async function* typed() {
      for (const letter of sentences.join("")) yield letter;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      finished = true;
      yield "The last words come late.";
    }
    let [written, early] = [0, 0];
    for await (const piece of tts.speak(typed())) {
      written += piece.length;
      if (!finished) early += piece.length;
    }
    let whole = 0;
    for await (const piece of tts.speak(`${sentences.join("")}The last words come late.`)) whole += piece.length;
    return { written, whole, early };
  });
  assert.equal(written, whole);
  assert.ok(early > 0, "nothing was said before the text was complete");
});

withVoice("it is played without gaps, at the output's own rate too", async (page) => {
  for (const rate of [undefined, 48_000, 44_100]) {
    const { samples, underruns, heard, made } = await page.evaluate(async (rate) => {
      const context = rate === undefined ? undefined : new AudioContext({ sampleRate: rate });
      let [heard, made] = [0, 0];
      const played = await tts
        .speak("Help the woman get back to her feet.")
        .play(context, { onTime: (seconds) => (heard = seconds), onSamples: (piece) => (made += piece.length) });
      await context?.close();
      return { ...played, heard, made };
    }, rate);
    assert.ok(samples > 24_000, `${samples} samples at ${rate}`);
    assert.equal(made, samples);
    assert.equal(underruns, 0, `at ${rate}`);
    assert.ok(Math.abs(heard - samples / 24_000) < 0.1, `${heard} s were heard of ${samples / 24_000}`);
  }
});

withVoice("what reaches the output is the voice, resampled and whole", async (page, t) => {
  const { ratio } = await page.evaluate(async () => {
    const pieces = [];
    const context = new AudioContext({ sampleRate: 48_000 });
    const target = context.createMediaStreamDestination();
    // The worklet's own output is caught: a context's destination cannot be read.
    const recorder = `registerProcessor("recorder", class extends AudioWorkletProcessor { process([[input]]) { if (input) this.port.postMessage(input.slice()); return true; } });`;
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([recorder], { type: "text/javascript" })));
    const caught = [];
    const node = new AudioWorkletNode(context, "recorder");
    node.port.onmessage = ({ data }) => caught.push(...data);
    node.connect(target);
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to, ...rest) {
      return connect.call(this, to === context.destination ? node : to, ...rest);
    };
    await tts.speak("Kick the ball straight.").play(context, { onSamples: (piece) => pieces.push(...piece) });
    AudioNode.prototype.connect = connect;
    await new Promise((resolve) => setTimeout(resolve, 300));
    await context.close();
    // Every second sample of 48 kHz is one of 24 kHz; where the first lies is found by trying.
    const start = caught.findIndex((sample) => sample !== 0);
    let best = -Infinity;
    for (let offset = start - 200; offset < start + 200; offset++) {
      let [signal, noise] = [0, 0];
      pieces.forEach((sample, index) => {
        const got = caught[offset + 2 * index] ?? 0;
        signal += sample * sample;
        noise += (got - sample) ** 2;
      });
      best = Math.max(best, 10 * Math.log10(signal / noise));
    }
    return { ratio: best };
  });
  t.diagnostic(`${ratio.toFixed(1)} dB`);
  assert.ok(ratio > 60, `${ratio} dB`);
});

withVoice("an abort ends it, and the voice speaks on", async (page) => {
  const outcome = await page.evaluate(async () => {
    const stopper = new AbortController();
    const aborted = await attempt(
      (async () => {
        for await (const _ of tts.speak("One sentence. ".repeat(50), { signal: stopper.signal })) stopper.abort();
      })(),
    );
    for await (const _ of tts.speak("Another long one. ".repeat(50))) break;
    let after = 0;
    for await (const piece of tts.speak("Still here.")) after += piece.length;
    return { aborted, after };
  });
  assert.match(outcome.aborted, /^aborted/);
  assert.ok(outcome.after > 10_000);
});

withVoice("what the voice has no sounds for is left out and told", async (page) => {
  const { told, samples, plain } = await page.evaluate(async () => {
    const told = [];
    const say = async (text) => {
      let samples = 0;
      for await (const piece of tts.speak(text, { onLeftOut: (characters) => told.push(characters) })) samples += piece.length;
      return samples;
    };
    async function* written() {
      yield "Hello there. ";
      yield "Two \u2295 three \u4e2d.";
    }
    return { samples: [await say("Hello \u4e2d\u6587 there, 5 \u00b1 6."), await say(written())], plain: await say("Hello there."), told };
  });
  assert.deepEqual(told, ["\u4e2d\u6587", "\u2295\u4e2d"]);
  assert.ok(samples.every((count) => count > plain));
});

withVoice("what cannot be said is refused by name", async (page) => {
  const refusals = await page.evaluate(async () => {
    const say = (text, options) => attempt((async () => { for await (const _ of tts.speak(text, options)); })());
    return [
      await say(""),
      await say("?!"),
      await say("Hello", { voice: "nobody" }),
      await say("Hello", { speed: 3 }),
      await say("Hello", { pitch: 2 }),
      await attempt(crane.load({ "voices.json": "/models/hibari/voices.json" })),
      await attempt(crane.loadSpeech({ "voices.json": "/models/hibari/voices.json" })),
      await attempt(tts.dispose().then(() => tts.speak("Hello").next())),
    ];
  });
  const wanted = [
    /invalid_argument: text/,
    /invalid_argument: text/,
    /invalid_argument.*nobody/,
    /invalid_argument: speed/,
    /unsupported.*pitch/,
    /unsupported.*voice/,
    /not_found.*vocab\.json/,
    /disposed/,
  ];
  refusals.forEach((refusal, index) => assert.match(refusal, wanted[index], `case ${index}`));
});

test("the page reads a text aloud, draws it and gives it as a file", async (t) => {
  if (!existsSync(join(MODELS, "hibari", "hibari.onnx")) && lacking(t, join(MODELS, "hibari"))) return;
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(`${server.address}/speech.html`);
    await page.getByText("The voice is ready.").waitFor();
    await page.getByRole("textbox", { name: "Text" }).fill(SPOKEN);
    await page.getByRole("button", { name: "Speak" }).click();
    await page.getByText(/s of speech, first sound after \d+ ms/).waitFor({ timeout: 60_000 });
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download wav" }).click()]);
    assert.equal(download.suggestedFilename(), "speech.wav");
    // For the recogniser that `cargo xtask test` asks afterwards.
    const wav = process.env.CRANE_SPEECH_WAV;
    if (wav) {
      await download.saveAs(wav);
      writeFileSync(wav.replace(/wav$/, "txt"), SPOKEN);
    }
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, "speech.png") });
    await page.getByRole("textbox", { name: "Text" }).fill("");
    await page.getByRole("button", { name: "Speak" }).click();
    await page.getByRole("alert").filter({ hasText: "nothing" }).waitFor();
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
});
