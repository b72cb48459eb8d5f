/** What a page's policy must refuse, tried from inside: runs in a page, in any browser. Returns what happened all the same. */
export async function tryPolicy(elsewhere) {
  const happened = [];
  globalThis.hit = (what) => happened.push(what);
  const refused = [];
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => refused.push(effectiveDirective));
  const add = (name, attributes, text = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    document.body.append(element);
    return element;
  };
  add("script", {}, "hit('an inline script')");
  add("script", { type: "module" }, "hit('an inline module')");
  add("script", { src: `${elsewhere}/npm/test/foreign.js` });
  add("script", { src: `data:text/javascript,hit('a script of data')` });
  add("script", { src: URL.createObjectURL(new Blob(["hit('a script of a blob')"], { type: "text/javascript" })) });
  add("img", { src: "data:image/png,none", onerror: "hit('an attribute')" });
  add("button", { onclick: "hit('a click')" }).click();
  add("a", { href: "javascript:hit('a link')" }).click();
  add("iframe", { srcdoc: "<script>parent.hit('a frame')</script>" });
  add("object", { data: `${elsewhere}/blank` });
  add("base", { href: `${elsewhere}/` });
  if (document.baseURI.startsWith(elsewhere)) hit("a base");
  const styled = add("style", {}, "body { --injected: yes }");
  if (getComputedStyle(document.body).getPropertyValue("--injected") !== "") hit("a style");
  styled.remove();
  // What a test runs by itself may evaluate text; a timer may not.
  setTimeout("hit('a timer of text')");
  for (const [what, run] of [
    ["a worker of a blob", () => new Promise((resolve, reject) => {
      const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(1)"], { type: "text/javascript" })));
      worker.onmessage = resolve;
      worker.onerror = reject;
    })],
    ["a request elsewhere", () => fetch(`${elsewhere}/blank`, { mode: "no-cors" })],
    ["a picture from elsewhere", () => new Promise((resolve, reject) => Object.assign(new Image(), { onload: resolve, onerror: reject, src: `${elsewhere}/blank` }))],
  ]) {
    try {
      await run();
      hit(what);
    } catch {
      // As it should be.
    }
  }
  try {
    add("form", { action: `${elsewhere}/blank`, method: "post", target: "_self" }).submit();
  } catch {
    // Firefox throws.
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { happened, refused: [...new Set(refused)].sort(), policies: document.querySelectorAll("meta[http-equiv=Content-Security-Policy]").length };
}
