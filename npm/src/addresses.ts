/** Addresses as the page means them: relative to its document, which a `<base>` may move and a `srcdoc` frame borrows. */

/** What relative addresses are relative to; a worker has its own. */
function base(): string | undefined {
  const { document, location } = globalThis as { document?: { baseURI?: string }; location?: { href?: string } };
  return document?.baseURI ?? location?.href;
}

/** An address made whole; `undefined` if it cannot be one. */
export function resolved(address: string | URL): URL | undefined {
  try {
    return new URL(address, base());
  } catch {
    return undefined;
  }
}
