/** The machine's own Chromium. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const OPTIONS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function executable() {
  const path = process.env.CHROMIUM || NAMES.map((name) => `/usr/bin/${name}`).find((path) => existsSync(path));
  if (!path) throw new Error("no Chromium was found; run `cargo xtask setup` or set CHROMIUM");
  return path;
}

/** Starts `$CHROMIUM`, or the first Chromium of `/usr/bin`, with further options. */
export function launch(options = []) {
  return chromium.launch({ executablePath: executable(), args: [...OPTIONS, ...options] });
}

/** Starts it with the extension in a folder; gives the browser's pages, the extension's service worker and its address. */
export async function launchExtension(folder) {
  const profile = mkdtempSync(join(tmpdir(), "crane-profile-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable(),
    ignoreDefaultArgs: ["--disable-extensions"],
    args: [...OPTIONS, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
  });
  const background = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  return {
    context,
    background,
    address: background.url().replace(/\/[^/]*$/, ""),
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
