/** The models that are kept between visits. */
import { resolved } from "./addresses.js";
import type { Channel } from "./channel.js";
import { CraneError, shown } from "./errors.js";
import { parseHubId, spellHubId } from "./hub_id.js";
import { checkOptions, TABLES } from "./options.js";
import type { Progress, StoredModel } from "./types.js";

/** `crane.models`. */
export class StoredModels {
  readonly #channel: Channel;

  /** @internal */
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Every stored model, and those whose pull was begun. */
  async list(): Promise<StoredModel[]> {
    return this.#channel.call("list", {});
  }

  /** Removes a model, whole or begun, by its id; says whether there was one. Models that are loaded stay loaded. */
  async remove(id: string): Promise<boolean> {
    return this.#channel.call("remove", { id: spelled(id) });
  }

  /** Sums up a stored model's bytes again; if one has changed, removes the model and fails with code `corrupt`. */
  async verify(id: string, options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<void> {
    checkOptions("verify", options, TABLES.verify);
    const { signal, onProgress } = options;
    await this.#channel.call("verify", { id: spelled(id) }, { signal, ...(onProgress ? { onEvent: onProgress } : {}) });
  }
}

/** The spelling under which a model is kept: a relative address is made whole, `a/b@main` is `a/b`. */
function spelled(id: string): string {
  if (typeof id !== "string") throw new CraneError("invalid_argument", `id: ${shown(id)} is not a text`, { hint: "crane.models.list() gives the ids" });
  if (id.startsWith("local:")) return id;
  const hub = parseHubId(id);
  if (hub) return spellHubId(hub);
  return resolved(id)?.href ?? id;
}
