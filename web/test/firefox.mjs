/** The machine's own Firefox, through WebDriver BiDi. */
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const NAMES = ["firefox-esr", "firefox"];

/** Starts `$FIREFOX`, or the first Firefox of `/usr/bin`. */
export function launch() {
  const executablePath = process.env.FIREFOX || NAMES.map((name) => `/usr/bin/${name}`).find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Firefox was found; run `cargo xtask setup` or set FIREFOX");
  return puppeteer.launch({ browser: "firefox", executablePath, headless: true, protocolTimeout: 300_000 });
}
