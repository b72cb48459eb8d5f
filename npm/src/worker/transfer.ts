/** One file from the network into an open file of the store: resumed, summed up while it is written, verified. */
import { CraneError } from "../errors.js";
import type { Checksum } from "../../wasm/crane_wasm.js";
import { bindings } from "./bindings.js";
import type { WritableFile } from "./folder.js";
import { backoff } from "./hub.js";
import type { Meter } from "./meter.js";
import { nextTask } from "./next_task.js";
import { chunksOf, lost, pause, request, Transient } from "./request.js";

/** Bytes that are read back at a time. */
const BLOCK = 1 << 20;

/** A sum by which a file is known. */
export interface Sum {
  kind: "sha256" | "git";
  hex: string;
}

/** A file to fetch: what is known of it before. */
export interface Remote {
  name: string;
  url: string;
  headers?: Record<string, string>;
  size?: number;
  checksum?: Sum;
}

/** What a transfer needs besides the file. */
export interface Transport {
  signal: AbortSignal;
  retries: number;
  /** Counts what arrives. */
  download: Meter;
  /** Counts what an earlier try left and is read again. */
  verify: Meter;
  /** Keeps what identifies the bytes on the server, so that a later try may go on with them. */
  note: (validator: string | undefined) => Promise<void>;
}

/** A file that is growing. */
export class Transfer {
  readonly #remote: Remote;
  readonly #file: WritableFile;
  readonly #transport: Transport;
  #validator: string | undefined;
  #sum: Checksum;
  #have = 0;
  #size: number | undefined;

  constructor(remote: Remote, file: WritableFile, validator: string | undefined, transport: Transport) {
    this.#remote = remote;
    this.#file = file;
    this.#validator = validator;
    this.#transport = transport;
    this.#size = remote.size;
    this.#sum = newSum(remote);
  }

  /** Fetches what is missing and verifies the whole; returns its size and its sum. */
  async complete(): Promise<{ size: number; sum: Sum }> {
    try {
      await this.#takeUp();
      const leftover = this.#have > 0;
      await this.#fill();
      if (leftover && !this.#isSound()) {
        // Bytes of an earlier try may be bad (a crash, a file that changed): begin anew once.
        this.#restart();
        await this.#fill();
      }
      if (!this.#isSound()) {
        const { name, checksum } = this.#remote;
        const found = this.#sum.hex();
        this.#restart();
        throw new CraneError("corrupt", `${name}: the ${checksum?.kind === "git" ? "git SHA-1" : "SHA-256"} should be ${checksum?.hex}, but is ${found}; the bytes were thrown away`, {
          hint: "pull it again; if that does not help, the server sends a damaged file",
        });
      }
      this.#file.flush();
      return { size: this.#have, sum: { kind: this.#remote.checksum?.kind ?? "sha256", hex: this.#sum.hex() } };
    } finally {
      this.#sum.free();
    }
  }

  /** Sums up what an earlier try left, or throws it away if nothing says that it is still of this file. */
  async #takeUp(): Promise<void> {
    const left = this.#file.size();
    const known = this.#remote.checksum !== undefined || this.#validator !== undefined;
    if (left === 0) return;
    if (!known || (this.#size !== undefined && left > this.#size)) {
      this.#restart();
      return;
    }
    const { verify, signal } = this.#transport;
    verify.expect(this.#remote.name, left);
    while (this.#have < left) {
      const bytes = this.#file.read(this.#have, Math.min(BLOCK, left - this.#have));
      this.#sum.update(bytes);
      this.#have += bytes.length;
      verify.add(this.#remote.name, bytes.length);
      await nextTask();
      signal.throwIfAborted();
    }
  }

  /** Transfers what is missing; goes on after each drop until tries bring nothing new too often. */
  async #fill(): Promise<void> {
    const { name } = this.#remote;
    const { signal, download, retries } = this.#transport;
    download.expect(name, this.#size);
    download.skip(name, this.#have);
    let fruitless = 0;
    while (this.#size === undefined || this.#have < this.#size) {
      const before = this.#have;
      try {
        await this.#request();
        return;
      } catch (failure) {
        if (!(failure instanceof Transient)) throw failure;
        fruitless = this.#have > before ? 1 : fruitless + 1;
        // A host that was never reached will not be reached by asking again.
        if (fruitless > retries || (failure.unreachable && this.#have === 0)) {
          this.#file.flush();
          const of = this.#size === undefined ? "" : ` of ${this.#size}`;
          throw lost(`${this.#remote.url}: ${this.#have}${of} bytes came`, failure, "pull it again: it goes on from there");
        }
        await pause(backoff(fruitless), signal);
      }
    }
  }

  /** One request for the bytes that are missing. */
  async #request(): Promise<void> {
    const { name, url, headers } = this.#remote;
    const { signal, download } = this.#transport;
    const response = await request(url, { ...headers, ...this.#range() }, signal);
    try {
      this.#accept(response);
    } catch (failure) {
      await response.body?.cancel();
      throw failure;
    }
    const validator = validatorOf(response);
    if (validator !== this.#validator) await this.#transport.note((this.#validator = validator));
    this.#size ??= announcedSize(response);
    download.expect(name, this.#size);
    for await (const chunk of chunksOf(response, signal)) {
      if (this.#size !== undefined && this.#have + chunk.length > this.#size) {
        this.#restart();
        throw new CraneError("corrupt", `${url}: more than the announced ${this.#size} bytes came; they were thrown away`, { hint: "check the address" });
      }
      this.#file.write(chunk, this.#have);
      this.#sum.update(chunk);
      this.#have += chunk.length;
      download.add(name, chunk.length);
    }
    if (this.#size !== undefined && this.#have < this.#size) throw new Transient("the connection ended early");
  }

  #range(): Record<string, string> {
    if (this.#have === 0) return {};
    const range = { range: `bytes=${this.#have}-` };
    // Another origin would first be asked whether this header may be sent, and often says no; there the answer's own
    // validator is compared, which comes to the same.
    const sameOrigin = globalThis.location === undefined || new URL(this.#remote.url).origin === globalThis.location.origin;
    return this.#validator !== undefined && sameOrigin && !this.#validator.startsWith("W/") ? { ...range, "if-range": this.#validator } : range;
  }

  /** Whether the answer's bytes are those that are missing; what was loaded is thrown away where they are not. */
  #accept(response: Response): void {
    const { url, checksum } = this.#remote;
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      throw new CraneError("not_found", `${url} is a page, not a model file`, { hint: "check the address; some servers answer a missing file with a page" });
    }
    if (response.status === 416) {
      this.#restart();
      throw new Transient("the server refused the range");
    }
    if (response.status !== 206) {
      // A server without ranges sends the file from its first byte; so does one whose file has changed.
      if (this.#have > 0) this.#restart();
      return;
    }
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    const validator = validatorOf(response);
    const changed = checksum === undefined && validator !== this.#validator;
    const elsewhere = range !== null && Number(range[1]) !== this.#have;
    const resized = range !== null && range[2] !== "*" && this.#size !== undefined && Number(range[2]) !== this.#size;
    if (changed || elsewhere || resized) {
      this.#restart();
      throw new Transient("the server sent a range of another file");
    }
    if (range !== null && range[2] !== "*") this.#size ??= Number(range[2]);
  }

  #isSound(): boolean {
    const { checksum } = this.#remote;
    return checksum === undefined || this.#sum.hex() === checksum.hex;
  }

  /** Throws away what was loaded. */
  #restart(): void {
    this.#file.truncate(0);
    this.#transport.download.skip(this.#remote.name, 0);
    this.#sum.free();
    this.#sum = newSum(this.#remote);
    this.#have = 0;
    this.#size = this.#remote.size;
  }
}

/** A sum that has seen nothing yet, of the kind that the file is known by. */
export function newSum({ size, checksum }: { size?: number; checksum?: Sum }): Checksum {
  return checksum?.kind === "git" && size !== undefined ? bindings().Checksum.git(size) : bindings().Checksum.sha256();
}

/** What names the bytes of an answer: they are the same where it is. */
function validatorOf({ headers }: Response): string | undefined {
  return headers.get("etag") ?? headers.get("last-modified") ?? undefined;
}

/** The number of bytes of a whole file; unknown if the body is compressed on the way. */
function announcedSize({ status, headers }: Response): number | undefined {
  const length = headers.get("content-length");
  const encoding = headers.get("content-encoding") ?? "identity";
  return status === 200 && length !== null && /^\d+$/.test(length) && encoding === "identity" ? Number(length) : undefined;
}
