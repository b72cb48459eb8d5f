/** Which files of a repository make up the model: weights as published, or one quantisation. */
import { CraneError } from "../errors.js";
import type { HubId } from "../hub_id.js";
import { isRelative } from "../hub_id.js";

/** Quantisations of a GGUF repository, in the order in which one is chosen when none is named. */
const PREFERRED = [
  "q4_k_m", "q4_k_s", "q4_0", "q4_1", "q5_k_m", "q5_k_s", "q5_0", "q8_0", "q6_k", "iq4_xs", "q3_k_m", "f16", "bf16", "f32",
];

/** What Spark-TTS is known by. */
const SPARK = "BiCodec/config.yaml";

/** The files of a model; an `index` names further ones, the shards of its weights. */
export interface Plan {
  files: string[];
  index?: string;
}

/** Chooses among a repository's files. */
export function planFiles({ repo, file: wanted }: HubId, files: string[]): Plan {
  const sets = ggufSets(files);
  if (wanted !== undefined) return { files: namedGguf(repo, sets, wanted) };
  if (files.includes(SPARK)) return { files: sparkFiles(files) };
  const top = files.filter((file) => !file.includes("/"));
  const weights = top.filter(isWeight);
  if (weights.length === 0) {
    if (sets.length > 0) return { files: usualGguf(repo, sets) };
    throw new CraneError("not_found", `${repo} has no weights that can be read here: neither .safetensors nor .gguf`, {
      hint: "choose a repository that holds a model's weights in one of these formats",
    });
  }
  // Templates of a model with several, and how an embedding model's states become one vector.
  const inFolders = files.filter((file) => file.startsWith("additional_chat_templates/") || file.endsWith("_Pooling/config.json"));
  const side = top.filter(isSide).concat(inFolders);
  const single = weights.find((file) => file === "model.safetensors");
  const index = top.find((file) => file.endsWith(".safetensors.index.json"));
  if (single === undefined && index !== undefined) return { files: side, index };
  return { files: [...side, ...(single === undefined ? weights : [single])] };
}

/** Spark-TTS: codec and language model lie in folders; what a recording's transcript would need besides is left where it is. */
function sparkFiles(files: string[]): string[] {
  const language = files.filter((file) => /^LLM\/[^/]+$/.test(file) && (isSide(base(file)) || isWeight(file)));
  return [SPARK, "BiCodec/model.safetensors", ...language].filter((file) => files.includes(file));
}

/** The shards that an index names. */
export function shardsOf(name: string, index: unknown): string[] {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const shards = typeof map === "object" && map !== null ? [...new Set(Object.values(map))] : [];
  if (shards.length === 0 || !shards.every((shard) => typeof shard === "string" && isRelative(shard))) {
    throw new CraneError("invalid_file", `${name}: its weight_map does not name the files of the weights`);
  }
  return (shards as string[]).sort();
}

function isWeight(file: string): boolean {
  // `consolidated` is the same weights again, in the layout of the publisher's own code.
  return /\.safetensors$/i.test(file) && !/^(consolidated|adapter)/i.test(file);
}

function isSide(file: string): boolean {
  if (["merges.txt", "vocab.txt"].includes(file)) return true;
  return /\.(json|jinja)$/.test(file) && !/\.(bin|msgpack|h5)\.index\.json$/.test(file) && !file.startsWith(".");
}

/** The parts of a split set that `name` belongs to: `m-00001-of-00003.gguf` names three. */
function splitSet(name: string): string[] | undefined {
  const [, prefix, part, total] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(name) ?? [];
  if (prefix === undefined || Number(part) < 1 || Number(part) > Number(total)) return undefined;
  return Array.from({ length: Number(total) }, (_, index) => `${prefix}-${String(index + 1).padStart(5, "0")}-of-${total}.gguf`);
}

function ggufSets(files: string[]): string[][] {
  return files
    // A vision projector is a part of another model.
    .filter((file) => file.endsWith(".gguf") && !/mmproj/i.test(base(file)))
    .map((file) => ({ file, set: splitSet(file) ?? [file] }))
    .filter(({ file, set }) => set[0] === file)
    .map(({ set }) => set);
}

function namedGguf(repo: string, sets: string[][], wanted: string): string[] {
  const candidates = [
    sets.filter((set) => set.includes(wanted)),
    sets.filter((set) => set.some((file) => base(file) === wanted)),
    sets.filter((set) => tag(set[0] as string) === wanted.toLowerCase()),
  ].find((found) => found.length > 0);
  if (candidates?.length === 1) return candidates[0] as string[];
  if (candidates) throw ambiguous(repo, candidates);
  const names = sets.map((set) => set[0]);
  throw new CraneError("not_found", `${repo} has no ${wanted}`, {
    hint: names.length === 0 ? "it has no .gguf files; leave the file out" : `it has ${names.join(", ")}`,
  });
}

function usualGguf(repo: string, sets: string[][]): string[] {
  if (sets.length === 1) return sets[0] as string[];
  for (const preferred of PREFERRED) {
    const found = sets.filter((set) => tag(set[0] as string) === preferred);
    if (found.length > 1) throw ambiguous(repo, found);
    if (found[0]) return found[0];
  }
  throw ambiguous(repo, sets);
}

function ambiguous(repo: string, sets: string[][]): CraneError {
  return new CraneError("invalid_argument", `${repo} has several models`, {
    hint: `name one of ${sets.map((set) => `${repo}:${set[0]}`).join(", ")}`,
  });
}

/** The quantisation in a file's name. */
function tag(file: string): string {
  const stem = base(file).toLowerCase().replace(/(-\d{5}-of-\d{5})?\.gguf$/, "");
  const last = stem.split(/[-.]/).at(-1) ?? stem;
  return PREFERRED.find((tag) => last.endsWith(`_${tag}`)) ?? last;
}

function base(file: string): string {
  return file.split("/").at(-1) ?? file;
}
