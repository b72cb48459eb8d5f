#!/usr/bin/env python3
"""Asks a server for everything that it offers, through the official client.

    conformance.py CRANE MODEL    start `CRANE serve MODEL` and run every test against it
"""

import subprocess
import sys
import threading
import unittest

import openai

MESSAGES = [{"role": "user", "content": "Name three rivers of Europe."}]


class Conformance(unittest.TestCase):
    client: openai.OpenAI

    def chat(self, **options):
        options = {"model": "m", "messages": MESSAGES, "temperature": 0, "max_tokens": 24, **options}
        return self.client.chat.completions.create(**options)

    def test_models(self):
        names = [model.id for model in self.client.models.list()]
        self.assertIn("m", names)
        self.assertEqual(self.client.models.retrieve("m").id, "m")

    def test_chat(self):
        answer = self.chat()
        (choice,) = answer.choices
        self.assertEqual(choice.message.role, "assistant")
        self.assertTrue(choice.message.content)
        self.assertIn(choice.finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertLessEqual(usage.completion_tokens, 24)
        # What was said can be sent back as it came.
        more = [*MESSAGES, choice.message, {"role": "user", "content": "And one more?"}]
        again = self.chat(messages=more)
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens - 2)

    def test_stream(self):
        whole = self.chat().choices[0]
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(said, whole.message.content)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.finish_reason)
        self.assertEqual((chunks[-1].choices, chunks[-1].usage.completion_tokens > 0), ([], True))

    def test_stream_that_is_left(self):
        stream = self.chat(stream=True, max_tokens=2000, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        self.assertTrue(self.chat().choices)

    def test_seeds_stops_and_several_replies(self):
        drawn = [self.chat(temperature=1.2, seed=5, n=3) for _ in range(2)]
        said = [[choice.message.content for choice in answer.choices] for answer in drawn]
        self.assertEqual(said[0], said[1])
        self.assertEqual(len(set(said[0])), 3)
        whole = self.chat().choices[0].message.content
        stop = whole.split()[2]
        stopped = self.chat(stop=[stop]).choices[0]
        self.assertEqual((stopped.message.content, stopped.finish_reason), (whole[: whole.index(stop)], "stop"))

    def test_log_probabilities(self):
        choice = self.chat(logprobs=True, top_logprobs=2).choices[0]
        tokens = choice.logprobs.content
        self.assertEqual(b"".join(bytes(token.bytes) for token in tokens).decode(), choice.message.content)
        for token in tokens:
            self.assertEqual(token.top_logprobs[0].token, token.token)
            self.assertGreater(token.top_logprobs[0].logprob, token.top_logprobs[1].logprob)

    def test_completions(self):
        options = {"model": "m", "temperature": 0, "max_tokens": 8}
        answer = self.client.completions.create(prompt=["The capital of France is", "One, two,"], **options)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        chunks = self.client.completions.create(prompt="One, two,", stream=True, **options)
        self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), answer.choices[1].text)

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as told:
            self.chat(temperature=9)
        self.assertEqual((told.exception.param, told.exception.code), ("temperature", "invalid_value"))
        with self.assertRaises(openai.BadRequestError) as told:
            self.chat(extra_body={"warmth": 1})
        self.assertEqual((told.exception.param, told.exception.code), ("warmth", "unknown_parameter"))
        with self.assertRaises(openai.BadRequestError) as told:
            self.chat(messages=[{"role": "user", "content": "word " * 3000}])
        self.assertEqual(told.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("another")
        with self.assertRaises(openai.AuthenticationError):
            self.client.with_options(api_key="wrong").models.list()

    def test_many_at_a_time(self):
        def ask(seed: int, into: dict[int, str]) -> None:
            answer = self.chat(temperature=1, seed=seed, messages=[{"role": "user", "content": f"Count to {seed}."}])
            into[seed] = answer.choices[0].message.content

        alone: dict[int, str] = {}
        for seed in range(6):
            ask(seed, alone)
        among: dict[int, str] = {}
        threads = [threading.Thread(target=ask, args=(seed, among)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(alone, among)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    crane, model = sys.argv[1:]
    command = [crane, "serve", model, "--port", "0", "--alias", "m", "--api-key", "sesame", "--ctx", "2048"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            if not address:
                sys.exit("the server did not start")
            Conformance.client = openai.OpenAI(base_url=f"{address}/v1", api_key="sesame", max_retries=0)
            tests = unittest.defaultTestLoader.loadTestsFromTestCase(Conformance)
            result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
        finally:
            server.terminate()
    if server.returncode != 0:
        sys.exit(f"the server ended with {server.returncode}")
    # In the words that `cargo xtask test` counts.
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
