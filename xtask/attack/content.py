"""Hostile contents of requests against a server with a deadline: forms, templates, odd requests.

Each must be answered by its deadline and a second, the server must live, and its memory must come back.
"""

import json
import random
import select
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forms
import odd_requests
import templates
from rows import Row
from server import CHAT, MIB, PATIENCE, TINY, Server, open_socket

DEADLINE = 5
# A second beyond the deadline, on a machine that is busy with the attack itself.
GRACE = 1
MEMORY = 64 * MIB
REACH = "0 abort, each ended by its deadline + 1 s, memory back within 64 MiB"
# Clients that ask at a time: the server has work, and the deadline is still about one request.
TOGETHER = 2


def serve(crane: str, *models: str, more: tuple[str, ...] = ()) -> Server:
    return Server(crane, *(models or (TINY,)), "--ctx", "2048", "--timeout", str(DEADLINE), *more)


def judge(attack: str, server: Server, before: int, results: list[tuple[str, int, float]]) -> Row:
    """A row of answers: what was asked, the status, the seconds."""
    wrong = []
    more = server.memory_back_within(before, MEMORY) if server.is_alive() else 0
    if not server.is_alive():
        wrong.append(f"the server ended with {server.child.returncode}: {server.said()[-300:]}")
    late = [f"{what}: {took:.1f} s" for what, _, took in results if took > DEADLINE + GRACE]
    lost = [what for what, answered, _ in results if answered == 0]
    failed = [f"{what}: {answered}" for what, answered, _ in results if answered == 500]
    wrong += [f"late: {each}" for each in late[:5]] + [f"unanswered: {each}" for each in lost[:5]] + [f"500: {each}" for each in failed[:5]]
    if more > MEMORY:
        wrong.append(f"{more // MIB} MiB stay")
    statuses = dict(sorted(Counter(answered for _, answered, _ in results).items()))
    slowest = max(took for _, _, took in results)
    numbers = {"requests": len(results), "statuses": {str(key): value for key, value in statuses.items()}, "slowest_s": round(slowest, 2),
               "late": len(late), "unanswered": len(lost), "memory_more_mib": round(more / MIB, 1)}
    told = f"{len(results)}: {len(lost)} unanswered, {len(late)} late, slowest {slowest:.1f} s, {more / MIB:.0f} MiB more"
    return Row(attack, REACH, told, wrong, numbers)


def ask_all(server: Server, questions: Iterable[tuple[str, bytes]]) -> list[tuple[str, int, float]]:
    def one(question: tuple[str, bytes]) -> tuple[str, int, float]:
        path, body = question
        if not server.is_alive():
            return path, 0, 0.0
        start = time.monotonic()
        answered, _ = server.ask(path, body, timeout=4 * DEADLINE)
        return f"{path} {body[:90].decode(errors='replace')} ({len(body)} bytes)", answered, time.monotonic() - start

    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(one, questions))


def survived(crane: str, start: Callable[[], Server], questions: list[tuple[str, bytes]], attack: str) -> list[Row]:
    """Asks everything of one server; where it ends, of a fresh one from there on, so that every finding is told."""
    results, deaths = [], []
    first = json.loads(questions[0][1]).get("model", Path(TINY).name) if attack.endswith("templates") else Path(TINY).name
    while questions and len(deaths) < 5:
        with start() as server:
            # The first model is loaded; memory is compared with what the server holds then.
            server.ask(CHAT, {"model": first, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2})
            before = server.resident()
            asked = []
            # A batch at a time, so that what ended the server is among few.
            while questions and server.is_alive():
                batch, questions = questions[:TOGETHER], questions[TOGETHER:]
                asked += ask_all(server, batch)
            results += asked
            row = judge(attack, server, before, asked)
            if server.is_alive():
                break
            deaths += row.wrong[:1] + [f"... after {what}" for what, answered, _ in asked[-TOGETHER:] if answered == 0]
    with start() as server:
        whole = judge(attack, server, server.resident(), results)
    whole.wrong = deaths + [each for each in row.wrong if each not in deaths] + [each for each in whole.wrong if each not in row.wrong]
    whole.numbers["memory_more_mib"], whole.numbers["deaths"] = row.numbers["memory_more_mib"], sum(each.startswith("the server") for each in deaths)
    if whole.numbers["deaths"]:
        whole.measured += f", the server ended {whole.numbers['deaths']} times"
    else:
        whole.measured = whole.measured.rsplit(",", 1)[0] + f", {row.numbers['memory_more_mib']:.0f} MiB more"
    return [whole]


def grammars_and_schemas(crane: str, count: int) -> list[Row]:
    made = [(CHAT, body) for body in forms.requests(count, random.Random(1))]
    return survived(crane, lambda: serve(crane), made, f"{count} grammars and schemas")


def accepted(crane: str, models: list[Path], wrong: list[str]) -> list[Path]:
    """Those of the models with which a server starts: a template that is none is told at the start, in an orderly way."""
    if not models:
        return []
    command = [crane, "serve", *map(str, models), "--port", "0", "--max-loaded", "1", "--quiet"]
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as child:
        ready, _, _ = select.select([child.stdout], [], [], PATIENCE)
        starts = bool(ready and child.stdout.readline())
        if starts or not ready:
            child.kill()
        code = child.wait()
        log.seek(0)
        said = log.read()
    if starts:
        return models
    if len(models) == 1:
        template = json.loads((models[0] / "tokenizer_config.json").read_text())["chat_template"]
        if code not in (1, 2, 3) or "panicked" in said:
            wrong.append(f"the template {template[:80]!r} ends a start with {code}: {said[-200:]}")
        return []
    half = len(models) // 2
    return accepted(crane, models[:half], wrong) + accepted(crane, models[half:], wrong)


def chat_templates(crane: str, count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        models = templates.models(Path(folder), list(templates.texts(count, random.Random(2))))
        wrong: list[str] = []
        # In batches: a template that ends the process would end the start of all.
        good = [model for at in range(0, count, 16) for model in accepted(crane, models[at : at + 16], wrong)]
        messages = [{"role": "user", "content": "hi"}]
        questions = [("/apply-template", json.dumps({"model": model.name, "messages": messages}).encode()) for model in good]
        names = [str(model) for model in good]
        [row] = survived(crane, lambda: serve(crane, *names, more=("--max-loaded", "2")), questions, f"{count} templates")
        row.wrong += wrong
        row.measured += f"; {count - len(good)} refused at the start"
        row.numbers["refused_at_start"] = count - len(good)
        return [row]


def odd(crane: str, count: int) -> list[Row]:
    raw = odd_requests.raw()
    questions = odd_requests.bodies(count - len(raw), random.Random(3))
    [row] = survived(crane, lambda: serve(crane), questions, f"{count} odd requests")
    with serve(crane) as server:
        for request in raw:
            start = time.monotonic()
            try:
                with open_socket(server.port) as plain:
                    plain.settimeout(DEADLINE + GRACE)
                    plain.sendall(request)
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(65536):
                        pass
            except TimeoutError:
                row.wrong.append(f"no end of {request[:60]!r} in {time.monotonic() - start:.1f} s")
            except OSError:
                # A server may say nothing to what is no HTTP, but it must end the connection: it did.
                continue
        if not server.is_alive() or server.ask("/health", None)[0] != 200:
            row.wrong.append("the server does not live after what is no HTTP")
    return [row]
