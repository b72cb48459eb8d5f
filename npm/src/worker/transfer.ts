/** One file from the network into an open file of the store: resumed, summed up while it is written, verified. */
import { CraneError } from "../errors.js";
import { stopIfAborted } from "../signals.js";
import type { Checksum } from "../../wasm/crane_wasm.js";
import { bindings } from "./bindings.js";
import type { WritableFile } from "./folder.js";
import { backoff } from "./hub.js";
import type { Meter } from "./meter.js";
import { nextTask } from "./next_task.js";
import { inNode } from "./read_bytes.js";
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
  /** The size, where it is sure. */
  #size: number | undefined;
  /** Where an answer ended whose length was not sure, before what it had announced. */
  #end: number | undefined;
  /** Bytes that this transfer brought. */
  #brought = 0;
  /** Whether resuming has failed for good. */
  #anew = false;

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
      stopIfAborted(signal);
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
          // What an earlier try left and a server never goes on with must not be in the way for ever.
          if (!failure.unreachable && !this.#anew && this.#have > 0 && this.#brought === 0) {
            [this.#anew, fruitless] = [true, retries];
            continue;
          }
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
    const { name, url } = this.#remote;
    const { signal, download } = this.#transport;
    const response = (await this.#resumed()) ?? (await this.#whole());
    const validator = validatorOf(response);
    if (validator !== this.#validator) await this.#transport.note((this.#validator = validator));
    const said = announcedSize(response);
    if (said?.sure) this.#size ??= said.bytes;
    let announced = this.#size ?? said?.bytes;
    download.expect(name, announced);
    for await (const chunk of chunksOf(response, signal)) {
      const come = this.#have + chunk.length;
      if (this.#size !== undefined && come > this.#size) {
        const most = this.#size;
        this.#restart();
        throw new CraneError("corrupt", `${url}: more than the announced ${most} bytes came; they were thrown away`, { hint: "check the address" });
      }
      // It was the length of a compressed body.
      if (announced !== undefined && come > announced) download.expect(name, (announced = undefined));
      this.#file.write(chunk, this.#have);
      this.#sum.update(chunk);
      this.#have = come;
      this.#brought += chunk.length;
      download.add(name, chunk.length);
    }
    if (announced === undefined || this.#have >= announced) return;
    // Of a length that may be that of a compressed body, two answers that end alike are the proof.
    if (this.#size === undefined && this.#end === this.#have) return;
    this.#end = this.#have;
    throw new Transient("the connection ended early");
  }

  /** The answer that goes on where the last one ended; none if there is nothing to go on with or the server does not, for whatever reason. */
  async #resumed(): Promise<Response | undefined> {
    if (this.#have === 0 || this.#anew) return undefined;
    const { url, headers } = this.#remote;
    const { signal } = this.#transport;
    let response: Response;
    try {
      response = await request(url, { ...headers, ...this.#range() }, signal);
    } catch (failure) {
      // A server that is busy may go on later. One that says no, or whose preflight does, is asked for the whole; only an answer
      // to that costs what there is.
      if (signal.aborted || (failure instanceof Transient && !failure.unreachable)) throw failure;
      return undefined;
    }
    if (response.status === 206 && this.#goesOn(response)) return response;
    // A server without ranges sends the file from its first byte; so does one whose file has changed.
    if (response.status === 200) return this.#fromStart(response);
    await response.body?.cancel();
    return undefined;
  }

  async #whole(): Promise<Response> {
    const { url, headers } = this.#remote;
    return this.#fromStart(await request(url, headers ?? {}, this.#transport.signal));
  }

  /** Takes an answer that begins with the first byte. */
  async #fromStart(response: Response): Promise<Response> {
    const { url } = this.#remote;
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      await response.body?.cancel();
      throw new CraneError("not_found", `${url} is a page, not a model file`, { hint: "check the address; some servers answer a missing file with a page" });
    }
    if (this.#have > 0) this.#restart();
    return response;
  }

  #range(): Record<string, string> {
    const range = { range: `bytes=${this.#have}-` };
    // A browser would first ask another origin whether this header may be sent, the one behind a redirect too, and that often says no.
    // There the answer's own validator is compared, which comes to the same.
    return this.#validator !== undefined && inNode() && !this.#validator.startsWith("W/") ? { ...range, "if-range": this.#validator } : range;
  }

  /** Whether a partial answer's bytes are those that are missing. */
  #goesOn(response: Response): boolean {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    const changed = this.#remote.checksum === undefined && validatorOf(response) !== this.#validator;
    const elsewhere = range !== null && Number(range[1]) !== this.#have;
    const total = range === null || range[2] === "*" ? undefined : Number(range[2]);
    if (changed || elsewhere || !isPlain(response) || (total !== undefined && this.#size !== undefined && total !== this.#size)) return false;
    if (!hidesEncoding(response)) this.#size ??= total;
    return true;
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

/** What names the bytes of an answer: they are the same where it is. Those of a compressed body are others than the file's. */
function validatorOf(response: Response): string | undefined {
  if (!isPlain(response)) return undefined;
  return response.headers.get("etag") ?? response.headers.get("last-modified") ?? undefined;
}

/** Whether the body comes as it is, as far as can be seen. */
function isPlain({ headers }: Response): boolean {
  return (headers.get("content-encoding") ?? "identity") === "identity";
}

/** Whether a browser shows the body's length and not its encoding: so it does with answers of other origins. */
function hidesEncoding({ type, headers }: Response): boolean {
  return type === "cors" && !inNode() && headers.get("content-encoding") === null;
}

/** The number of bytes of a whole file, and whether that is sure: it is not if the body may be compressed on the way. */
function announcedSize(response: Response): { bytes: number; sure: boolean } | undefined {
  const length = response.headers.get("content-length");
  if (response.status !== 200 || length === null || !/^\d+$/.test(length) || !isPlain(response)) return undefined;
  return { bytes: Number(length), sure: !hidesEncoding(response) };
}
