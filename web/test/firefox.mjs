/** The machine's own Firefox, through WebDriver BiDi. */
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const NAMES = ["firefox-esr", "firefox"];

/** Starts `$FIREFOX`, or the first Firefox of `/usr/bin`. */
export function launch() {
  const executablePath = process.env.FIREFOX || NAMES.map((name) => `/usr/bin/${name}`).find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Firefox was found; run `cargo xtask setup` or set FIREFOX");
  // Firefox does not start for root where the home folder is another user's.
  const env = { ...process.env, HOME: mkdtempSync(join(tmpdir(), "crane-firefox-")) };
  return puppeteer.launch({ browser: "firefox", executablePath, headless: true, env, protocolTimeout: 300_000 });
}
