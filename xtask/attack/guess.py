"""One key guesses the prompt of another: does the prefix cache tell that it is right?"""

import json
import random

from rows import Row
from server import CHAT, TINY, Server, median

ROUNDS = 15
# Tokens that two texts of the same key may begin with by chance, behind the template; a guess that is found has over a hundred.
CHANCE = 8
WORDS = "merger river stone autumn ledger cobalt harbour winter signal copper meadow lantern".split()


def cached(server: Server, text: str, key: str) -> tuple[int, int]:
    """Tokens of a prompt that were evaluated before, and those that were evaluated, by the server's counters."""
    before = server.counter("crane_prompt_tokens_total") - server.counter("crane_cached_tokens_total")
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
    answered, said = server.ask(CHAT, body, Authorization=f"Bearer {key}")
    if answered != 200:
        raise RuntimeError(f"{answered}: {said[:200]!r}")
    after = server.counter("crane_prompt_tokens_total") - server.counter("crane_cached_tokens_total")
    return json.loads(said)["usage"]["prompt_tokens_details"]["cached_tokens"], int(after - before)


def prefixes(crane: str) -> list[Row]:
    rng = random.Random(4)
    # No two begin alike: the one who guesses finds its own earlier guesses.
    sentence = lambda: f"{rng.getrandbits(40):x} " + " ".join(rng.choice(WORDS) for _ in range(120))
    right, wrong_guess, own, counts = [], [], [], []
    with Server(crane, TINY, "--ctx", "4096", "--api-key", "alice", "--api-key", "bob") as server:
        alice, bob = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))
        server.first_token("warm", **bob)
        for _ in range(ROUNDS):
            secret = sentence()
            server.first_token(secret, **alice)
            right.append(server.first_token(secret, **bob))
            wrong_guess.append(server.first_token(sentence(), **bob))
            own.append(server.first_token(secret, **alice))
        for _ in range(3):
            secret, other = sentence(), sentence()
            cached(server, secret, "alice")
            # As many tokens of a wrong guess are evaluated as of a right one, but for their own number.
            counts.append((cached(server, secret, "bob")[0], cached(server, other, "bob")[0], cached(server, secret, "alice")[0]))
        alive = server.is_alive()
    wrong = [] if alive else ["the server ended"]
    for guessed, unguessed, again in counts:
        if guessed > unguessed + CHANCE:
            wrong.append(f"a right guess finds {guessed} tokens, a wrong one {unguessed}")
        if again <= unguessed:
            wrong.append(f"the key that sent a prompt finds {again} tokens of it: the cache does not act")
    ratio = median(right) / median(wrong_guess)
    if not 0.5 < ratio < 2:
        wrong.append(f"a right guess takes {ratio:.2f} of a wrong one's time")
    told = f"first token {1000 * median(right):.1f} ms guessed, {1000 * median(wrong_guess):.1f} ms not, {1000 * median(own):.1f} ms under its own key; cached tokens {counts[-1][0]} and {counts[-1][1]}"
    numbers = {"guessed_ms": round(1000 * median(right), 2), "unguessed_ms": round(1000 * median(wrong_guess), 2), "own_ms": round(1000 * median(own), 2), "cached_tokens": counts}
    return [Row("another key guesses a prompt", "as many tokens are cached for a right guess as for a wrong one; the times tell nothing", told, wrong, numbers)]
