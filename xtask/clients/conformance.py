#!/usr/bin/env python3
"""Asks a server for everything that it offers, through the official clients and LangChain's.

    conformance.py CRANE CHAT TOOLS VOICE EMBEDDER    start `CRANE serve` with a model for chat or one for tools, one that speaks and
                                                      one that makes vectors, and run every test
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import typing
import unittest
from collections.abc import Iterator

import anthropic
import langchain_openai
import ollama
import openai
import pydantic
from deployment import Deployment

MESSAGES = [{"role": "user", "content": "Name three rivers of Europe."}]
KEY = "sesame"


class City(pydantic.BaseModel, extra="forbid"):
    name: typing.Literal["Bern", "Oslo", "Rome"]
    capital: bool
    rivers: int = pydantic.Field(ge=0, le=9)


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "kelvin"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "Tells the weather in a city.", "parameters": PARAMETERS}
QUESTION = "What is the weather in Oslo, in kelvin?"


class Chat(unittest.TestCase):
    """OpenAI's client and a model for chat."""

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

    def test_structured_output(self):
        for seed in range(3):
            options = {"temperature": 1, "seed": seed, "max_tokens": 100}
            answer = self.client.chat.completions.parse(model="m", messages=MESSAGES, response_format=City, **options)
            self.assertIsInstance(answer.choices[0].message.parsed, City)
        answer = self.chat(response_format={"type": "json_object"}, max_tokens=400, temperature=1, seed=1)
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)
        words = self.chat(extra_body={"grammar": {"type": "regex", "value": "(Rhine|Danube|Po)"}})
        self.assertIn(words.choices[0].message.content, ("Rhine", "Danube", "Po"))

    def test_completions(self):
        options = {"model": "m", "temperature": 0, "max_tokens": 8}
        answer = self.client.completions.create(prompt=["The capital of France is", "One, two,"], **options)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        chunks = self.client.completions.create(prompt="One, two,", stream=True, **options)
        self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), answer.choices[1].text)

    def test_responses(self):
        options = {"model": "m", "instructions": "Be brief.", "temperature": 0, "max_output_tokens": 24}
        response = self.client.responses.create(input="Name three rivers of Europe.", **options)
        messages = [{"role": "system", "content": "Be brief."}, *MESSAGES]
        self.assertEqual(response.output_text, self.chat(messages=messages).choices[0].message.content)
        with self.client.responses.stream(input="Name three rivers of Europe.", **options) as stream:
            events = list(stream)
            final = stream.get_final_response() if events[-1].type == "response.completed" else events[-1].response
        self.assertEqual(final.output_text, response.output_text)
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(deltas, response.output_text)
        parsed = self.client.responses.parse(model="m", input="Oslo", text_format=City, max_output_tokens=100)
        self.assertIsInstance(parsed.output_parsed, City)
        again = [*MESSAGES, *response.output, {"role": "user", "content": "And one more?"}]
        self.assertTrue(self.client.responses.create(input=again, **options).output_text)

    def test_embeddings(self):
        texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Interest rates rose by half a percent."]
        for model, apart in (("m", 0), ("minilm", 0.5)):
            answer = self.client.embeddings.create(model=model, input=texts)
            vectors = [item.embedding for item in answer.data]
            near, far = (sum(a * b for a, b in zip(vectors[0], other)) for other in vectors[1:])
            self.assertGreater(near, far + apart)
            plain = self.client.embeddings.create(model=model, input=texts[0], encoding_format="float")
            for a, b in zip(plain.data[0].embedding, vectors[0], strict=True):
                self.assertAlmostEqual(a, b, places=6)
        self.assertEqual((answer.model, len(vectors[0])), ("minilm", 384))
        with self.assertRaises(openai.BadRequestError) as told:
            self.client.embeddings.create(model="minilm", input="word " * 300)
        self.assertEqual(told.exception.code, "context_length_exceeded")
        self.client.embeddings.create(model="minilm", input="word " * 300, extra_body={"truncate": True})
        with self.assertRaises(openai.NotFoundError):
            self.chat(model="minilm")

    def test_speech(self):
        options = {"model": "hibari", "voice": "heart", "input": "The train leaves at half past nine."}
        sound = self.client.audio.speech.create(response_format="pcm", **options).content
        self.assertGreater(len(sound), 24_000)
        with self.client.audio.speech.with_streaming_response.create(response_format="wav", **options) as response:
            pieces = list(response.iter_bytes())
        self.assertEqual(b"".join(pieces)[44:], sound)
        whole = self.client.audio.speech.create(response_format="flac", **options).content
        self.assertEqual(whole[:4], b"fLaC")
        frames = self.client.audio.speech.create(response_format="mp3", **options).content
        self.assertEqual(frames[0], 0xFF)
        self.assertLess(len(frames) * 3, len(sound))
        with self.assertRaises(openai.BadRequestError) as told:
            self.client.audio.speech.create(response_format="opus", **options)
        self.assertEqual(told.exception.param, "response_format")

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
        with self.assertRaises(openai.BadRequestError) as told:
            self.chat(tools=[{"type": "function", "function": WEATHER}])
        self.assertEqual(told.exception.param, "tools")
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


class Tools(unittest.TestCase):
    """OpenAI's client and a model for tools."""

    client: openai.OpenAI

    def chat(self, **options):
        tools = [{"type": "function", "function": WEATHER}]
        options = {"model": "m", "temperature": 0, "max_tokens": 100, "tools": tools, **options}
        options.setdefault("messages", [{"role": "user", "content": QUESTION}])
        return self.client.chat.completions.create(**options)

    def check(self, arguments: str) -> None:
        arguments = json.loads(arguments)
        self.assertEqual(set(arguments), {"city", "unit"})
        self.assertIn(arguments["unit"], ("celsius", "kelvin"))

    def test_calls(self):
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            answer = self.chat(tool_choice=choice, parallel_tool_calls=False).choices[0]
            self.assertEqual(answer.finish_reason, "tool_calls")
            (call,) = answer.message.tool_calls
            self.assertEqual(call.function.name, "get_weather")
            self.check(call.function.arguments)
            self.assertIn("Oslo", call.function.arguments)
        # The result is sent back, and answered in words, good or bad.
        result = {"role": "tool", "tool_call_id": call.id, "content": "271 kelvin, snow"}
        messages = [{"role": "user", "content": QUESTION}, answer.message, result]
        said = self.chat(messages=messages, tool_choice="none").choices[0]
        self.assertTrue(said.message.content)
        self.assertIsNone(said.message.tool_calls)

    def test_calls_are_the_models_choice(self):
        answer = self.chat(messages=[{"role": "user", "content": "Say hello."}]).choices[0]
        self.assertIn(answer.finish_reason, ("stop", "tool_calls", "length"))
        for call in answer.message.tool_calls or []:
            self.check(call.function.arguments)

    def test_calls_at_any_temperature(self):
        answer = self.chat(tool_choice="required", temperature=1.5, seed=1, n=4, parallel_tool_calls=False)
        for choice in answer.choices:
            self.check(choice.message.tool_calls[0].function.arguments)

    def test_streamed_calls(self):
        options = {"tool_choice": "required", "parallel_tool_calls": False}
        whole = self.chat(**options).choices[0].message.tool_calls[0].function
        deltas = [delta for chunk in self.chat(stream=True, **options) for delta in chunk.choices[0].delta.tool_calls or []]
        self.assertEqual(deltas[0].function.name, whole.name)
        self.assertEqual("".join(delta.function.arguments for delta in deltas), whole.arguments)

    def test_responses(self):
        options = {"model": "m", "temperature": 0, "tools": [{"type": "function", "strict": True, **WEATHER}]}
        question = {"role": "user", "content": QUESTION}
        response = self.client.responses.create(input=[question], tool_choice="required", parallel_tool_calls=False, **options)
        (call,) = response.output
        self.check(call.arguments)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "271 kelvin, snow"}
        said = self.client.responses.create(input=[question, call, result], tool_choice="none", **options)
        self.assertTrue(said.output_text)


class LangChain(unittest.TestCase):
    """LangChain's model for chat and a model for tools."""

    client: openai.OpenAI

    def model(self, **options) -> langchain_openai.ChatOpenAI:
        base = str(self.client.base_url)
        options = {"temperature": 0, "max_tokens": 60, "max_retries": 0, **options}
        return langchain_openai.ChatOpenAI(model="m", base_url=base, api_key=KEY, **options)

    def test_invoke_and_stream(self):
        question = [("system", "Be brief."), ("human", MESSAGES[0]["content"])]
        whole = self.model().invoke(question)
        self.assertTrue(whole.content)
        usage = whole.usage_metadata
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        chunks = list(self.model(stream_usage=True).stream(question))
        self.assertEqual("".join(chunk.content for chunk in chunks), whole.content)
        counted = [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata]
        self.assertEqual(sum(counted), usage["output_tokens"])

    def test_structured_output(self):
        for method in ("json_schema", "function_calling"):
            asked = self.model(temperature=1, seed=3).with_structured_output(City, method=method)
            self.assertIsInstance(asked.invoke("Tell me of Oslo."), City)

    def test_tools(self):
        bound = self.model().bind_tools([{"type": "function", "function": WEATHER}], tool_choice="get_weather")
        (call,) = bound.invoke(QUESTION).tool_calls
        self.assertEqual((call["name"], set(call["args"])), ("get_weather", {"city", "unit"}))

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as told:
            self.model(temperature=9).invoke("Hello")
        self.assertEqual(told.exception.param, "temperature")


class Claude(unittest.TestCase):
    """Anthropic's client and a model for tools."""

    client: anthropic.Anthropic

    def ask(self, **options):
        options = {"model": "m", "messages": MESSAGES, "max_tokens": 40, "extra_body": {"temperature": 0}, **options}
        return self.client.messages.create(**options)

    def test_messages(self):
        answer = self.ask(system="Be brief.")
        self.assertEqual((answer.type, answer.role), ("message", "assistant"))
        self.assertTrue(answer.content[0].text)
        self.assertIn(answer.stop_reason, ("end_turn", "max_tokens"))
        counted = self.client.messages.count_tokens(model="m", messages=MESSAGES, system="Be brief.").input_tokens
        self.assertEqual(answer.usage.input_tokens + answer.usage.cache_read_input_tokens, counted)
        more = [*MESSAGES, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "And one more?"}]
        self.assertGreater(self.ask(system="Be brief.", messages=more).usage.cache_read_input_tokens, counted - 3)

    def test_stream(self):
        whole = self.ask().content[0].text
        options = {"model": "m", "messages": MESSAGES, "max_tokens": 40, "extra_body": {"temperature": 0}}
        with self.client.messages.stream(**options) as stream:
            self.assertEqual("".join(stream.text_stream), whole)
            self.assertEqual(stream.get_final_message().content[0].text, whole)

    def test_stop_sequences(self):
        whole = self.ask().content[0].text
        stop = whole.split()[2]
        stopped = self.ask(stop_sequences=[stop])
        self.assertEqual((stopped.stop_reason, stopped.stop_sequence), ("stop_sequence", stop))
        self.assertEqual(stopped.content[0].text, whole[: whole.index(stop)])

    def test_tools(self):
        tool = {"name": "get_weather", "description": WEATHER["description"], "input_schema": PARAMETERS}
        question = {"role": "user", "content": QUESTION}
        choice = {"type": "tool", "name": "get_weather"}
        options = {"tools": [tool], "max_tokens": 100}
        answer = self.ask(messages=[question], tool_choice=choice, **options)
        self.assertEqual(answer.stop_reason, "tool_use")
        (call,) = answer.content
        self.assertEqual(set(call.input), {"city", "unit"})
        options["extra_body"] = {"temperature": 0}
        with self.client.messages.stream(model="m", messages=[question], tool_choice=choice, **options) as stream:
            self.assertEqual(stream.get_final_message().content[0].input, call.input)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "271 kelvin, snow"}
        messages = [question, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        said = self.ask(messages=messages, tool_choice={"type": "none"}, **options)
        self.assertTrue(said.content[0].text)

    def test_structured_output(self):
        form = {"format": {"type": "json_schema", "schema": City.model_json_schema()}}
        for seed in range(3):
            answer = self.ask(output_config=form, max_tokens=100, extra_body={"temperature": 1, "seed": seed})
            self.assertEqual(answer.stop_reason, "end_turn")
            City.model_validate_json(answer.content[0].text)

    def test_errors(self):
        with self.assertRaises(anthropic.BadRequestError) as told:
            self.ask(extra_body={"top_k": 1.5})
        self.assertIn("top_k", told.exception.body["error"]["message"])
        with self.assertRaises(anthropic.NotFoundError):
            self.ask(model="another")
        with self.assertRaises(anthropic.AuthenticationError):
            self.client.with_options(api_key="wrong").messages.create(model="m", messages=MESSAGES, max_tokens=1)


class Ollama(unittest.TestCase):
    """Ollama's client and a model for tools."""

    client: openai.OpenAI

    def setUp(self):
        address = str(self.client.base_url).removesuffix("/v1/").removesuffix("/v1")
        self.ollama = ollama.Client(host=address, headers={"Authorization": f"Bearer {KEY}"})

    def ask(self, **options):
        settings = {"temperature": 0, "num_predict": 24, **options.pop("options", {})}
        return self.ollama.chat(**{"model": "m", "messages": MESSAGES, "options": settings, **options})

    def test_chat(self):
        answer = self.ask()
        self.assertEqual((answer.model, answer.done, answer.message.role), ("m", True, "assistant"))
        self.assertIn(answer.done_reason, ("stop", "length"))
        self.assertLessEqual(answer.eval_count, 24)
        self.assertGreaterEqual(answer.total_duration, answer.eval_duration + answer.prompt_eval_duration)
        same = self.client.chat.completions.create(model="m", messages=MESSAGES, temperature=0, max_tokens=24)
        self.assertEqual(answer.message.content, same.choices[0].message.content)
        self.assertEqual(answer.prompt_eval_count, same.usage.prompt_tokens)
        chunks = list(self.ask(stream=True))
        self.assertEqual("".join(chunk.message.content for chunk in chunks), answer.message.content)
        self.assertEqual([chunk.done for chunk in chunks], [False] * (len(chunks) - 1) + [True])
        self.assertEqual(chunks[-1].eval_count, answer.eval_count)
        # What was said can be sent back as it came, and names may have a tag.
        more = [*MESSAGES, answer.message, {"role": "user", "content": "And one more?"}]
        self.assertTrue(self.ask(model="m:latest", messages=more).message.content)

    def test_stream_that_is_left(self):
        stream = self.ask(stream=True, options={"num_predict": -1, "ignore_eos": True})
        next(stream)
        stream.close()
        self.assertTrue(self.ask().message.content)

    def test_options(self):
        said = [self.ask(options={"temperature": 1.2, "seed": seed}).message.content for seed in (5, 5, 6)]
        self.assertEqual(said[0], said[1])
        self.assertNotEqual(said[0], said[2])
        whole = self.ask().message.content
        stop = whole.split()[2]
        stopped = self.ask(options={"stop": [stop]})
        self.assertEqual((stopped.message.content, stopped.done_reason), (whole[: whole.index(stop)], "stop"))
        self.assertEqual(self.ask(options={"num_predict": 3}).eval_count, 3)
        logged = self.ask(logprobs=True, top_logprobs=2)
        self.assertEqual(len(logged.logprobs[0].top_logprobs), 2)

    def test_structured_output(self):
        for seed in range(3):
            answer = self.ask(format=City.model_json_schema(), options={"temperature": 1, "seed": seed, "num_predict": 100})
            City.model_validate_json(answer.message.content)

    def test_generate(self):
        options = {"temperature": 0, "num_predict": 8}
        answer = self.ollama.generate(model="m", prompt=MESSAGES[0]["content"], system="Be brief.", options=options)
        spoken = [{"role": "system", "content": "Be brief."}, *MESSAGES]
        self.assertEqual(answer.response, self.ask(messages=spoken, options=options).message.content)
        again = self.ollama.generate(model="m", prompt="And one more?", context=answer.context, options=options)
        self.assertGreater(again.prompt_eval_count, len(answer.context))
        chunks = self.ollama.generate(model="m", prompt="One, two,", raw=True, stream=True, options=options)
        plain = self.client.completions.create(model="m", prompt="One, two,", temperature=0, max_tokens=8)
        self.assertEqual("".join(chunk.response for chunk in chunks), plain.choices[0].text)
        self.assertEqual(self.ollama.generate(model="m").done_reason, "load")

    def test_tools(self):
        tool = {"type": "function", "function": WEATHER}
        question = {"role": "user", "content": QUESTION}
        options = {"num_predict": 100}
        answer = self.ask(messages=[question], tools=[tool], options=options)
        chunks = list(self.ask(messages=[question], tools=[tool], options=options, stream=True))
        calls = [call.function for chunk in chunks for call in chunk.message.tool_calls or []]
        self.assertEqual(calls, [call.function for call in answer.message.tool_calls or []])
        for call in calls:
            self.assertEqual((call.name, set(call.arguments)), ("get_weather", {"city", "unit"}))
        # A function is described by its own words.
        def get_time(city: str) -> str:
            """Tell the time in a city.

            Args:
              city: The city
            """
            return city

        self.assertTrue(self.ask(messages=[question], tools=[get_time], options=options).done)
        call = {"function": {"name": "get_weather", "arguments": {"city": "Oslo", "unit": "kelvin"}}}
        made = {"role": "assistant", "content": "", "tool_calls": [call]}
        result = {"role": "tool", "tool_name": "get_weather", "content": "271 kelvin, snow"}
        self.assertTrue(self.ask(messages=[question, made, result], options=options).message.content)

    def test_embeddings(self):
        texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Interest rates rose by half a percent."]
        vectors = self.ollama.embed(model="minilm", input=texts).embeddings
        near, far = (sum(a * b for a, b in zip(vectors[0], other)) for other in vectors[1:])
        self.assertGreater(near, far + 0.5)
        older = self.ollama.embeddings(model="minilm", prompt=texts[0]).embedding
        for a, b in zip(older, vectors[0], strict=True):
            self.assertAlmostEqual(a, b, places=6)
        self.ollama.embed(model="minilm", input="word " * 300)
        with self.assertRaises(ollama.ResponseError) as told:
            self.ollama.embed(model="minilm", input="word " * 300, truncate=False)
        self.assertEqual(told.exception.status_code, 400)

    def test_models(self):
        listed = {model.model: model for model in self.ollama.list().models}
        self.assertIn("m", listed)
        self.assertNotIn("hibari", listed)
        self.assertGreater(listed["m"].size, 10_000_000)
        self.assertEqual((listed["m"].details.format, listed["m"].details.family), ("gguf", "qwen2"))
        shown = self.ollama.show("m")
        self.assertEqual(shown.capabilities[:2], ["completion", "tools"])
        self.assertIn("im_start", shown.template)
        self.assertGreaterEqual(shown.modelinfo["qwen2.context_length"], 2048)
        self.assertEqual(self.ollama.show("minilm").capabilities, ["embedding"])
        running = {model.model: model for model in self.ollama.ps().models}
        self.assertIn(2048, {model.context_length for model in running.values()})
        self.assertGreater(min(model.size for model in running.values()), 1_000_000)

    def test_errors(self):
        for status, options in ((404, {"model": "another"}), (400, {"options": {"temperature": 9}}), (400, {"think": True})):
            with self.assertRaises(ollama.ResponseError) as told:
                self.ask(**options)
            self.assertEqual(told.exception.status_code, status)
            self.assertNotIn("{", told.exception.error)
        with self.assertRaises(ollama.ResponseError) as told:
            list(self.ask(stream=True, messages=[{"role": "user", "content": "word " * 3000}]))
        self.assertIn("context holds 2048", told.exception.error)
        stranger = ollama.Client(host=str(self.client.base_url).removesuffix("/v1/"))
        with self.assertRaises(ollama.ResponseError) as told:
            stranger.list()
        self.assertEqual(told.exception.status_code, 401)
        with self.assertRaises(ollama.ResponseError) as told:
            self.ollama.pull("another")
        self.assertEqual(told.exception.status_code, 404)


@contextlib.contextmanager
def serving(crane: str, model: str, voice: str, embedder: str) -> Iterator[str]:
    """A server's address; it must end well when it is told to."""
    command = [crane, "serve", model, embedder, "--preload", "--speech", voice, "--port", "0", "--alias", "m"]
    command += ["--api-key", KEY, "--ctx", "2048", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            if not address:
                sys.exit("the server did not start")
            yield address
        finally:
            server.terminate()
    if server.returncode != 0:
        sys.exit(f"the server ended with {server.returncode}")


def javascript(address: str, tools: bool) -> bool:
    """Runs the tests of the client for JavaScript, whose runner prints its own counts; whether they passed."""
    script = pathlib.Path(__file__).with_name("conformance.mjs")
    known = {**os.environ, "BASE_URL": f"{address}/v1", "API_KEY": KEY, "TOOLS": "1" if tools else ""}
    sys.stdout.flush()
    return subprocess.run(["node", "--test", script], env=known, check=False).returncode == 0


def main() -> None:
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    crane, chat, tools, voice, embedder = sys.argv[1:]
    counts = {"passed": 0, "failed": 0}
    javascript_passed = True
    for model, cases in ((chat, [Chat, Deployment]), (tools, [Tools, LangChain, Claude, Ollama])):
        with serving(crane, model, voice, embedder) as address:
            Deployment.address, Deployment.crane = address, crane
            for case in cases:
                official = anthropic.Anthropic if case is Claude else openai.OpenAI
                base = address if case is Claude else f"{address}/v1"
                case.client = official(base_url=base, api_key=KEY, max_retries=0)
                tests = unittest.defaultTestLoader.loadTestsFromTestCase(case)
                result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
                failed = len(result.failures) + len(result.errors)
                counts["failed"] += failed
                counts["passed"] += result.testsRun - failed
            javascript_passed &= javascript(address, tools=model == tools)
    # In the words that `cargo xtask test` counts.
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] > 0 or not javascript_passed)


if __name__ == "__main__":
    main()
