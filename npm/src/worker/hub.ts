/** The Hub's protocol: `api/models/…/revision/…` lists a revision's files, `resolve/…` gives the bytes of one, by range. */
import { CraneError } from "../errors.js";
import { isRelative, type HubId } from "../hub_id.js";
import { planFiles, shardsOf } from "./hub_files.js";
import { bytesOf, lost, pause, request, Transient } from "./request.js";
import type { Remote } from "./transfer.js";

/** Where the Hub is, and who asks. */
export interface HubSettings {
  /** Without a slash at the end. */
  url: string;
  token?: string;
  /** How often a request that brings nothing is made again. */
  retries: number;
}

/** One file of the Hub's list: the checksum of a large one is `lfs.sha256`, of a small one `blobId`. */
interface Sibling {
  rfilename: string;
  size?: number;
  blobId?: string;
  lfs?: { sha256?: string; size?: number };
}

/** The wait before try number `tries` (from one): doubled each time, a minute at most. */
export function backoff(tries: number): number {
  return Math.min(250 * 2 ** (tries - 1), 60_000);
}

/** Speaks with the Hub. */
export class Hub {
  readonly #settings: HubSettings;

  constructor(settings: HubSettings) {
    this.#settings = settings;
  }

  /** The files of a model, each at the commit that its revision points at now. */
  async resolve(id: HubId, signal: AbortSignal): Promise<{ commit: string; files: Remote[] }> {
    const { url } = this.#settings;
    const listing = `${url}/api/models/${id.repo}/revision/${encodeURIComponent(id.revision)}?blobs=true`;
    const { sha, siblings } = (await this.#json(listing, signal)) as { sha?: unknown; siblings?: unknown };
    if (typeof sha !== "string" || !/^[\w-]+$/.test(sha) || !Array.isArray(siblings)) {
      throw new CraneError("network", `${listing}: the answer is not the Hub's list of files`, { hint: "check hubUrl" });
    }
    const known = new Map((siblings as Sibling[]).filter(({ rfilename }) => isRelative(rfilename)).map((sibling) => [sibling.rfilename, sibling]));
    const address = (name: string): string => `${url}/${id.repo}/resolve/${sha}/${name.split("/").map(encodeURIComponent).join("/")}`;
    const plan = planFiles(id, [...known.keys()]);
    const names = [...plan.files];
    if (plan.index !== undefined) names.push(...shardsOf(plan.index, await this.#json(address(plan.index), signal)));
    const files = names.map((name) => {
      const sibling = known.get(name);
      if (!sibling) {
        throw new CraneError("not_found", `${id.repo} has no ${name}, which its other files name`, { hint: "the repository is incomplete" });
      }
      return { name, url: address(name), headers: this.#headers(), ...sumAndSize(sibling) };
    });
    return { commit: sha, files };
  }

  #headers(): Record<string, string> {
    const { token } = this.#settings;
    // `fetch` does not carry it along to the storage that the Hub redirects to.
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async #json(url: string, signal: AbortSignal): Promise<unknown> {
    for (let tries = 1; ; tries++) {
      try {
        const response = await request(url, this.#headers(), signal);
        try {
          return JSON.parse(new TextDecoder().decode(await bytesOf(response, signal)));
        } catch (cause) {
          if (!(cause instanceof SyntaxError)) throw cause;
          throw new CraneError("network", `${url}: the answer is not JSON`, { hint: "check hubUrl", cause });
        }
      } catch (failure) {
        if (!(failure instanceof Transient)) throw failure;
        if (failure.unreachable || tries > this.#settings.retries) throw lost(url, failure, "try again");
        await pause(backoff(tries), signal);
      }
    }
  }
}

function sumAndSize({ size, blobId, lfs }: Sibling): Pick<Remote, "size" | "checksum"> {
  const known = lfs?.size ?? size;
  const sum = (kind: "sha256" | "git", hex: string | undefined, length: number): Pick<Remote, "checksum"> =>
    hex !== undefined && hex.length === length && /^[0-9a-f]+$/.test(hex) ? { checksum: { kind, hex } } : {};
  return {
    ...(known === undefined ? {} : { size: known }),
    ...(lfs ? sum("sha256", lfs.sha256, 64) : sum("git", blobId, 40)),
  };
}
