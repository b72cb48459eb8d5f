/** Playing under everything that can happen to the sound: each promise settles, and the voice speaks on. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { MODELS, serve } from "./serve.mjs";
import { lacking } from "./weights.mjs";

let server, browsers;
before(async () => {
  server = await serve();
  browsers = { free: await launch(["--autoplay-policy=no-user-gesture-required"]), strict: await launch(["--autoplay-policy=user-gesture-required"]) };
});
after(async () => {
  for (const browser of Object.values(browsers ?? {})) await browser.close();
  await server?.close();
});

function withVoice(name, body) {
  test(name, async (t) => {
    const folder = join(MODELS, "hibari");
    if (!existsSync(join(folder, "hibari.onnx")) && lacking(t, folder)) return;
    const context = await browsers.free.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`${server.address}/blank`);
      await page.evaluate(async () => {
        const { Crane } = await import("/npm/dist/index.js");
        globalThis.crane = await Crane.create({ hibariUrl: "/models/hibari/" });
        globalThis.tts = await crane.load("hibari");
        globalThis.LONG = "The birch canoe slid on the smooth planks. ".repeat(8);
        globalThis.outcome = (promise) =>
          Promise.race([
            promise.then(({ samples }) => `played ${samples > 0}`, (error) => `${error.name} ${error.code}: ${error.message} | ${error.hint}`),
            new Promise((resolve) => setTimeout(resolve, 25_000, "pending")),
          ]);
        globalThis.speaksOn = async () => {
          let samples = 0;
          for await (const piece of tts.speak("Still here.")) samples += piece.length;
          return samples;
        };
        globalThis.later = (milliseconds, work) => setTimeout(work, milliseconds);
      });
      await body(page);
      assert.ok((await page.evaluate(() => speaksOn())) > 10_000, "the voice does not speak on");
    } finally {
      await context.close();
    }
  });
}

const matches = (found, patterns) => found.forEach((text, index) => assert.match(text, patterns[index], `case ${index}`));

withVoice("a context that is closed, before or in between", async (page) => {
  matches(
    await page.evaluate(async () => {
      const before = new AudioContext();
      await before.close();
      const between = new AudioContext();
      const second = tts.speak(LONG).play(between, { onTime: () => between.state !== "closed" && between.close() });
      return [await outcome(tts.speak("Hello.").play(before)), await outcome(second)];
    }),
    [/^CraneError aborted: .*closed/, /^CraneError aborted: .*closed/],
  );
});

withVoice("an abort while it begins, while it is played, and while it is paused", async (page) => {
  matches(
    await page.evaluate(async () => {
      const play = (when) => {
        const stop = new AbortController();
        const context = new AudioContext();
        const played = tts.speak(LONG, { signal: stop.signal }).play(context, { onTime: () => when.time?.(context, stop) });
        when.start?.(context, stop);
        return outcome(played);
      };
      return [
        await play({ start: (_, stop) => stop.abort() }),
        await play({ time: (_, stop) => stop.abort() }),
        await play({ time: (context, stop) => (context.suspend(), later(300, () => stop.abort())) }),
        await play({ start: (context, stop) => (context.resume = () => new Promise(() => {}), later(300, () => stop.abort())) }),
        await play({ start: (context, stop) => (context.audioWorklet.addModule = () => new Promise(() => {}), later(300, () => stop.abort())) }),
      ];
    }),
    Array(5).fill(/^CraneError aborted/),
  );
});

withVoice("a pause is a pause", async (page) => {
  const found = await page.evaluate(async () => {
    const context = new AudioContext();
    let paused = false;
    return outcome(
      tts.speak("Help the woman get back to her feet.").play(context, {
        onTime: async () => {
          if (paused) return;
          paused = true;
          await context.suspend();
          later(1000, () => context.resume());
        },
      }),
    );
  });
  assert.equal(found, "played true");
});

withVoice("a voice or an engine that is disposed of ends it", async (page) => {
  matches(
    await page.evaluate(async () => {
      const other = await crane.load("hibari");
      const one = outcome(other.speak("The rain has stopped.").play(undefined, { onTime: () => other.dispose() }));
      const { Crane } = await import("/npm/dist/index.js");
      const engine = await Crane.create({ hibariUrl: "/models/hibari/" });
      const voice = await engine.load("hibari");
      const two = outcome(voice.speak(LONG).play(undefined, { onSamples: () => engine.dispose() }));
      return [await one, await two];
    }),
    [/^CraneError disposed/, /^CraneError disposed/],
  );
});

withVoice("what a listener throws is thrown", async (page) => {
  matches(
    await page.evaluate(async () => {
      const thrown = () => {
        throw new RangeError("mine");
      };
      return [await outcome(tts.speak("Hello there.").play(undefined, { onSamples: thrown })), await outcome(tts.speak("Hello there.").play(undefined, { onTime: thrown }))];
    }),
    [/^RangeError undefined: mine/, /^RangeError undefined: mine/],
  );
});

withVoice("what is no context, or has no worklets, is refused by name", async (page) => {
  matches(
    await page.evaluate(async () => {
      const play = (context) => outcome(tts.speak("Hello.").play(context));
      const odd = [await play({}), await play("speakers"), await play(new OfflineAudioContext(1, 100, 24_000)), await play(Object.create(null))];
      const insecure = new AudioContext();
      Object.defineProperty(insecure, "audioWorklet", { value: undefined });
      odd.push(await play(insecure));
      const blocked = new AudioContext();
      blocked.audioWorklet.addModule = () => Promise.reject(new DOMException("Unable to load a worklet's module.", "AbortError"));
      odd.push(await play(blocked));
      const real = AudioContext;
      globalThis.AudioContext = function () {
        throw new DOMException("too many", "NotSupportedError");
      };
      odd.push(await play(undefined));
      globalThis.AudioContext = undefined;
      odd.push(await play(undefined));
      globalThis.AudioContext = real;
      return odd;
    }),
    [
      ...Array(4).fill(/^CraneError invalid_argument: context/),
      /^CraneError unsupported: .*worklets.*https/,
      /^CraneError worker: .*playback_worklet\.js.*CORS/,
      /^CraneError unsupported: .*too many/,
      /^CraneError unsupported: .*no sound output/,
    ],
  );
});

withVoice("another frame's context plays", async (page) => {
  const found = await page.evaluate(async () => {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    return outcome(tts.speak("Hello there.").play(new frame.contentWindow.AudioContext()));
  });
  assert.equal(found, "played true");
});

test("sound that the browser does not let begin is said, and an abort is heard meanwhile", async (t) => {
  const folder = join(MODELS, "hibari");
  if (!existsSync(join(folder, "hibari.onnx")) && lacking(t, folder)) return;
  const context = await browsers.strict.newContext();
  try {
    const page = await context.newPage();
    await page.addInitScript(async () => {
      // As a browser that waits for a click: which ones do, and when, is theirs to say.
      const Real = AudioContext;
      globalThis.AudioContext = class extends Real {
        get state() {
          return "suspended";
        }
        resume() {
          return new Promise(() => {});
        }
      };
      const { Crane } = await import("/npm/dist/index.js");
      const tts = await (await Crane.create({ hibariUrl: "/models/hibari/" })).load("hibari");
      const outcome = (promise) => promise.then(() => "played", ({ name, code, message, hint }) => `${name} ${code}: ${message} | ${hint}`);
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 300);
      const found = [await outcome(tts.speak("Hello.", { signal: stop.signal }).play()), await outcome(tts.speak("Hello.").play()), await outcome(tts.speak("Hello.").play(new AudioContext()))];
      let samples = 0;
      for await (const piece of tts.speak("Still here.")) samples += piece.length;
      console.log(JSON.stringify({ found, samples }));
    });
    const said = page.waitForEvent("console", { predicate: (message) => message.text().startsWith("{"), timeout: 60_000 });
    await page.goto(`${server.address}/blank`);
    const { found, samples } = JSON.parse((await said).text());
    matches(found, [/^CraneError aborted/, /^CraneError unsupported: .*suspended.*click/, /^CraneError unsupported: .*suspended.*click/]);
    assert.ok(samples > 10_000);
  } finally {
    await context.close();
  }
});
