// `node golden.mjs BINDINGS FOLDER...`: the golden comparison of each folder, compiled to wasm.
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [bindings, ...folders] = process.argv.slice(2);
const { Golden, initSync } = await import(pathToFileURL(resolve(bindings, "xtask_models.js")).href);
initSync({ module: readFileSync(join(bindings, "xtask_models_bg.wasm")) });

let failed = 0;
for (const folder of folders) {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
  const golden = new Golden(folder, names, names.map((name) => readFileSync(join(folder, name))));
  console.log(golden.text);
  if (!golden.passed) failed += 1;
  golden.free();
}
console.log(`${folders.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
