"""Thousands of mixed requests with cancels and faults, beside one client whose replies must be those of a quiet server."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
import robustness  # noqa: E402 (what the tests of bad requests send is sent here, too)

from rows import Row  # noqa: E402
from server import CHAT, MIB, TINY, Server  # noqa: E402

# By how much the memory may be above that after the first half.
GROWTH = 0.05
STEADY = 24
# A reply of a model that is loaded again and again, and of one whose file is short.
OTHER, BROKEN = "other", "broken"


class Client(robustness.Client):
    """Asks for the first model by its name, and now and then for the others."""

    def send(self, path, body, method="POST"):
        if method == "POST" and self.rng.random() < 0.02:
            try:
                body = json.dumps({**json.loads(body), "model": self.rng.choice([OTHER, BROKEN])}).encode()
            except (ValueError, TypeError, RecursionError):
                pass
        elif method == "POST" and b'"model"' not in body and body[:1] == b"{":
            body = body[:1] + b'"model":"qwen2_tied",' + body[1:]
        return super().send(path, body, method)

    def check(self, path, body, method="POST"):
        before = len(self.wrong)
        status = super().check(path, body, method)
        # The model whose file is short cannot be loaded: that, and no more, is 500 or 503 here.
        if status in (500, 503) and len(self.wrong) == before + 1 and BROKEN in self.wrong[-1]:
            self.wrong.pop()
        return status


def steady(server: Server, number: int) -> str:
    """A reply that depends on its request alone."""
    body = {
        "model": "qwen2_tied", "messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 24,
        "temperature": number % 3, "seed": number, "ignore_eos": True,
    }
    answered, said = server.ask(CHAT, body)
    return json.loads(said)["choices"][0]["message"]["content"] if answered == 200 else f"status {answered}"


def models(folder: Path) -> list[str]:
    """A second model, and one whose weights end early: a disk that was full, a read that is short."""
    paths = []
    for name in (OTHER, BROKEN):
        model = folder / name
        model.mkdir()
        for file in Path(TINY).iterdir():
            if file.is_file() and "golden" not in file.name:
                (model / file.name).write_bytes(file.read_bytes())
        paths.append(str(model))
    weights = folder / BROKEN / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return paths


def killed_clients(port: int, stop: threading.Event, count: Counter) -> None:
    """Processes that ask for a long stream and are killed in the middle of it."""
    program = (
        "import http.client,json,sys;c=http.client.HTTPConnection('127.0.0.1',int(sys.argv[1]));"
        "c.request('POST','/v1/chat/completions',json.dumps({'model':'qwen2_tied','messages':[{'role':'user','content':'x'}],"
        "'max_tokens':400,'ignore_eos':True,'stream':True}),{'Content-Type':'application/json'});r=c.getresponse();print(r.status,flush=True);\n"
        "while r.readline(): pass"
    )
    while not stop.is_set():
        with subprocess.Popen([sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        count["killed"] += 1
        stop.wait(0.3)


def disk(folder: Path, stop: threading.Event, crane: str, count: Counter) -> None:
    """Commands whose output goes to a full disk, beside the server: they fail, and say so."""
    while not stop.is_set():
        with open("/dev/full", "wb") as full:
            done = subprocess.run([crane, "run", "-q", "-m", TINY, "-n", "4", "hi"], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
        count["disk full, told" if done.returncode not in (0, 101) and done.returncode > 0 else f"disk full, ended with {done.returncode}"] += 1
        stop.wait(2)


def killed_server(crane: str, quiet: list[str], arguments: tuple[str, ...]) -> list[str]:
    """A server that is killed under load: no client waits for what does not come, and the next server says the same as before."""
    wrong: list[str] = []
    with Server(crane, *arguments) as server:
        body = {"model": "qwen2_tied", "messages": [{"role": "user", "content": "x"}], "max_tokens": 400, "ignore_eos": True, "n": 4}
        clients = [threading.Thread(target=server.ask, args=(CHAT, body), daemon=True) for _ in range(24)]
        for client in clients:
            client.start()
        time.sleep(0.1)
        server.child.kill()
        end = time.monotonic() + 5
        for client in clients:
            client.join(max(end - time.monotonic(), 0))
        waiting = sum(client.is_alive() for client in clients)
        if waiting:
            wrong.append(f"{waiting} clients wait for a server that was killed")
    with Server(crane, *arguments) as server:
        if [steady(server, number) for number in range(4)] != quiet[:4]:
            wrong.append("a server that follows a killed one says something else")
    return wrong


def mixed(crane: str, requests: int) -> list[Row]:
    wrong, faults, told = [], Counter(), Counter()
    with tempfile.TemporaryDirectory() as scratch:
        names = models(Path(scratch))
        arguments = (TINY, *names, "--ctx", "512", "--max-body", "1", "--max-loaded", "2", "--parallel", "4")
        with Server(crane, *arguments) as server:
            quiet = [steady(server, number) for number in range(STEADY)]
        with Server(crane, *arguments) as server:
            stop, memory, differing = threading.Event(), [], set()

            def watch() -> None:
                number = 0
                while not stop.is_set():
                    said = steady(server, number % STEADY)
                    if said != quiet[number % STEADY]:
                        differing.add((number % STEADY, said[:60]))
                    number += 1
                faults["steady replies"] = number

            helpers = [threading.Thread(target=watch), threading.Thread(target=killed_clients, args=(server.port, stop, faults))]
            if os.path.exists("/dev/full"):
                helpers.append(threading.Thread(target=disk, args=(Path(scratch), stop, crane, faults)))
            for helper in helpers:
                helper.start()
            lost = 0
            try:
                # As in the clients' test: a half that grew is followed by another.
                while len(memory) < 2 or (len(memory) < 4 and memory[-1] > memory[-2] * (1 + GROWTH)):
                    clients = [Client(server.port, 100 * len(memory) + number, requests // 2 // 6) for number in range(6)]
                    for client in clients:
                        client.start()
                    for client in clients:
                        client.join()
                        wrong += client.wrong
                        told.update(client.told)
                        # Every request has a status or is a finding.
                        lost += client.count - sum(client.told.values()) - sum("Error" in each for each in client.wrong)
                    memory.append(server.resident())
            finally:
                stop.set()
                for helper in helpers:
                    helper.join()
            alive = server.is_alive()
            said = server.said()
        wrong += killed_server(crane, quiet, arguments)
    if not alive or "panicked" in said:
        wrong.append(f"the server ended or a thread of it did: {said[-500:]}")
    wrong += [f"a reply is not that of a quiet run: {each}" for each in sorted(differing)[:3]]
    growth = memory[-1] / memory[-2] - 1 if memory[-2] else 0.0
    if growth > GROWTH:
        wrong.append(f"memory grew by {growth:.1%} in the last half")
    wrong += [f"{count} x {what}" for what, count in faults.items() if "ended with" in what]
    answers = sum(told.values())
    statuses = Counter()
    for (_, status), count in told.items():
        statuses[str(status)] += count
    measured = f"{answers} answers, {lost} lost; {faults['steady replies']} replies as in a quiet run but {len(differing)}; memory {memory[-1] / MIB:.0f} MiB ({growth:+.1%}); {faults['killed']} clients killed"
    numbers = {"answers": answers, "lost": lost, "statuses": dict(sorted(statuses.items())), "differing": len(differing), "memory_mib": [round(each / MIB, 1) for each in memory],
               "growth": round(growth, 4), "faults": dict(faults)}
    if lost > 0:
        wrong.append(f"{lost} requests were not answered")
    return [Row(f"{requests:,} mixed requests with cancels and faults", "none lost unanswered, memory flat, tokens equal to a quiet run", measured, wrong, numbers)]
