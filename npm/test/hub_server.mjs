/** A server that speaks the Hub's protocol, with a storage of its own to which large files are redirected, and faults. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";

/** Files of at least this many bytes lie in the storage. */
const LARGE = 2000;

const sum = (algorithm, ...parts) => parts.reduce((hash, part) => hash.update(part), createHash(algorithm)).digest("hex");

/** What the Hub's list says of a file. */
function sibling([rfilename, bytes]) {
  const blobId = sum("sha1", `blob ${bytes.length}\0`, bytes);
  const lfs = { sha256: sum("sha256", bytes), size: bytes.length };
  return { rfilename, size: bytes.length, blobId, ...(bytes.length >= LARGE ? { lfs } : {}) };
}

/**
 * Starts the two servers.
 *
 * `repos` maps `org/name` to `{ commit, files, gated }`; `faults` maps a file's name to a list, of which each request for
 * its bytes takes the first: `drop:N` (the connection ends after N bytes of the body), `stall:N` (nothing comes after N
 * bytes), `corrupt`, `status:N`, `whole` (a range is not honoured). `log` holds every request, `state.onRequest` is called before it is answered;
 * `state.dropAll()` ends the connections to the storage.
 */
export async function serveHub() {
  const state = { repos: {}, faults: {}, log: [], token: "hf_good", onRequest: () => {} };
  const listen = async (handler, storage) => {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url, "http://localhost");
      const { range, authorization, "if-range": ifRange } = request.headers;
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("access-control-expose-headers", "ETag, Content-Range, X-Error-Code");
      if (request.method === "OPTIONS") {
        response.writeHead(204, { "access-control-allow-headers": "authorization, range" }).end();
        return;
      }
      state.log.push({ storage, path: decodeURIComponent(pathname), range, ifRange, authorization });
      state.onRequest();
      handler(request, response, decodeURIComponent(pathname));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { server, address: `http://127.0.0.1:${server.address().port}` };
  };
  const storage = await listen((request, response, path) => {
    // A signed address and a token together are refused, as real storage does.
    if (request.headers.authorization !== undefined) return void response.writeHead(400).end();
    const [, org, name, ...rest] = path.split("/");
    sendBytes(state, request, response, rest.join("/"), state.repos[`${org}/${name}`].files[rest.join("/")]);
  }, true);
  const hub = await listen((request, response, path) => {
    const refuse = (status, code) => void response.writeHead(status, { "x-error-code": code }).end();
    const [, org, name, kind, revision, ...rest] = path.replace(/^\/api\/models/, "").split("/");
    const repo = state.repos[`${org}/${name}`];
    if (!repo) return refuse(401, "RepoNotFound");
    if (![repo.commit, "main"].includes(revision)) return refuse(404, "RevisionNotFound");
    if (kind === "revision") {
      response.writeHead(200, { "content-type": "application/json" });
      return void response.end(JSON.stringify({ id: `${org}/${name}`, sha: repo.commit, siblings: Object.entries(repo.files).map(sibling) }));
    }
    const file = rest.join("/");
    if (repo.gated && request.headers.authorization !== `Bearer ${state.token}`) return refuse(401, "GatedRepo");
    if (!repo.files[file]) return refuse(404, "EntryNotFound");
    if (repo.files[file].length < LARGE) return sendBytes(state, request, response, file, repo.files[file]);
    response.writeHead(302, { location: `${storage.address}/${org}/${name}/${file}?signature=x` }).end();
  }, false);
  state.dropAll = () => storage.server.closeAllConnections();
  return {
    ...state,
    state,
    address: hub.address,
    close: async () => {
      for (const { server } of [hub, storage]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

/** Answers a request for bytes as a plain file server does: ETag, Range, If-Range; and with the fault that is due. */
export function sendBytes({ faults }, request, response, name, bytes) {
  const [fault, amount] = faults[name]?.shift()?.split(":") ?? [];
  if (fault === "status") return void response.writeHead(Number(amount)).end();
  const etag = `"${sum("md5", bytes)}"`;
  const [, start] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
  const ranged = start !== undefined && fault !== "whole" && (request.headers["if-range"] ?? etag) === etag;
  if (ranged && Number(start) >= bytes.length) return void response.writeHead(416).end();
  let body = bytes.subarray(ranged ? Number(start) : 0);
  const headers = { etag, "content-type": "application/octet-stream", "content-length": body.length };
  if (ranged) headers["content-range"] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
  if (fault === "corrupt") body = Buffer.from(body.map((byte, index) => (index === 0 ? byte ^ 1 : byte)));
  response.writeHead(ranged ? 206 : 200, headers);
  if (fault !== "drop" && fault !== "stall") return void response.end(body);
  response.write(body.subarray(0, Number(amount)));
  if (fault === "drop") setTimeout(() => response.destroy(), 30);
}
