/**
 * Further workers that help the engine's. The page starts them and connects each with the engine: a worker that starts another
 * one is left waiting for it now and then by Firefox, which a page is not.
 */

/** What a worker is told before anything else: the ports of those that help it, or that it helps whoever is at the port's other end. */
export type Role = { helpers: MessagePort[] } | { serve: MessagePort };

/** What every helper says when it cannot go on. */
export type Failed = { failed: string };

/** The engine's end of the conversation with a helper. */
export class Helper<Message, Reply> {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: Message, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  /** Takes what the helper says from now on. */
  onReply(listener: (reply: Reply | Failed) => void): void {
    this.#port.onmessage = ({ data }: MessageEvent<Reply | Failed>) => listener(data);
    // What cannot be read would be waited for without end.
    this.#port.onmessageerror = () => listener({ failed: "an answer of it could not be read" });
  }
}
