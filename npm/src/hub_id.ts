/** The name of a model on the Hub: `org/name[@revision][:file]`, read as the native program reads it. */

/** A repository on the Hub, and what of it. */
export interface HubId {
  /** `org/name`. */
  repo: string;
  /** A branch, tag, pull request (`refs/pr/1`) or commit. */
  revision: string;
  /** A `.gguf` file or the tag of a quantisation, such as `Q4_K_M`. */
  file?: string;
}

const ADDRESSES = /^(?:https?:\/\/)?(?:huggingface\.co|hf\.co)\//;
const NAME = /^(?![-.])(?!.*(?:--|\.\.))[A-Za-z0-9._-]{1,96}(?<![-.])$/;

/**
 * Reads a hub id; `undefined` if the text has not the shape of one. A path to a weight file (`models/x.gguf`) is an
 * address, not a repository.
 */
export function parseHubId(text: string): HubId | undefined {
  const parts = /^([^@:]*?)\/?((?:[@:][^@:]*)*)$/.exec(text.replace(ADDRESSES, ""));
  const [org, name, ...more] = (parts?.[1] ?? "").split("/");
  if (!org || !name || more.length > 0 || !NAME.test(org) || !NAME.test(name)) return undefined;
  if (/\.(gguf|safetensors)$/i.test(name)) return undefined;
  const id: HubId = { repo: `${org}/${name}`, revision: "" };
  for (const [, mark, value = ""] of (parts?.[2] ?? "").matchAll(/([@:])([^@:]*)/g)) {
    if (!isRelative(value) || (mark === "@" ? id.revision !== "" : id.file !== undefined)) return undefined;
    if (mark === "@") id.revision = value;
    else id.file = value;
  }
  id.revision ||= "main";
  return id;
}

/** The one spelling of an id, under which the store keeps it. */
export function spellHubId({ repo, revision, file }: HubId): string {
  return `${repo}${revision === "main" ? "" : `@${revision}`}${file === undefined ? "" : `:${file}`}`;
}

/** Whether a name stays below the folder that it is joined to. */
export function isRelative(name: string): boolean {
  // Half of a surrogate pair has no bytes in an address.
  return !/[\\\0:]|\p{Surrogate}/u.test(name) && name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}
