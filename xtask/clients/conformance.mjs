// Asks a server for what it offers, through OpenAI's and Ollama's clients for JavaScript.
//
//     BASE_URL=http://127.0.0.1:8080/v1 API_KEY=... TOOLS=1 node --test xtask/clients/conformance.mjs
//
// TOOLS=1: the server's model knows tools. `conformance.py` starts the servers and runs this.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Ollama } from "ollama";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, TOOLS } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const host = baseURL.replace(/\/v1$/, "");
const ollama = new Ollama({ host, headers: { Authorization: `Bearer ${apiKey}` } });
const messages = [{ role: "user", content: "Name three rivers of Europe." }];
const common = { model: "m", messages, temperature: 0, max_tokens: 24 };

const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["celsius", "kelvin"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
const weather = { name: "get_weather", description: "Tells the weather in a city.", parameters };

test("a chat, whole and streamed, says the same", async () => {
  const whole = await client.chat.completions.create(common);
  const [choice] = whole.choices;
  assert.equal(choice.message.role, "assistant");
  assert.ok(choice.message.content);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

  const options = { ...common, stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const said = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(said, choice.message.content);
  assert.equal(chunks.at(-2).choices[0].finish_reason, choice.finish_reason);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
});

test("a stream that is left frees its slot", async () => {
  const stream = await client.chat.completions.create({ ...common, stream: true, max_tokens: 1500, ignore_eos: true });
  for await (const _ of stream) break;
  assert.ok((await client.chat.completions.create(common)).choices[0].message.content);
});

test("a reply is JSON of the schema", async () => {
  const schema = {
    type: "object",
    properties: { name: { enum: ["Bern", "Oslo", "Rome"] }, rivers: { type: "integer", minimum: 0, maximum: 9 } },
    required: ["name", "rivers"],
    additionalProperties: false,
  };
  const response_format = { type: "json_schema", json_schema: { name: "city", strict: true, schema } };
  for (const seed of [0, 1, 2]) {
    const options = { ...common, temperature: 1, seed, max_tokens: 100, response_format };
    const answer = await client.chat.completions.parse(options);
    const { name, rivers } = answer.choices[0].message.parsed;
    assert.ok(["Bern", "Oslo", "Rome"].includes(name), name);
    assert.ok(Number.isInteger(rivers) && rivers >= 0 && rivers <= 9, `${rivers}`);
  }
});

test("embeddings of near texts are near", async () => {
  const input = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Interest rates rose by half a percent."];
  const { data } = await client.embeddings.create({ model: "m", input });
  const [first, second, third] = data.map((item) => item.embedding);
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  assert.ok(Math.abs(dot(first, first) - 1) < 1e-4);
  assert.ok(dot(first, second) > dot(first, third));
});

test("errors name the field", async () => {
  const refused = (options) => client.chat.completions.create({ ...common, ...options });
  await assert.rejects(refused({ temperature: 9 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.param, error.code], ["temperature", "invalid_value"]);
    return true;
  });
  await assert.rejects(refused({ warmth: 1 }), { status: 400, param: "warmth", code: "unknown_parameter" });
  await assert.rejects(client.models.retrieve("another"), OpenAI.NotFoundError);
  const stranger = new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("Ollama's client hears the same, whole and streamed", async () => {
  const options = { temperature: 0, num_predict: 24 };
  const said = (await client.chat.completions.create(common)).choices[0].message.content;
  const whole = await ollama.chat({ model: "m", messages, options });
  assert.equal(whole.message.content, said);
  assert.ok(whole.done && whole.eval_count <= 24 && whole.total_duration >= whole.eval_duration);

  const parts = [];
  for await (const part of await ollama.chat({ model: "m:latest", messages, options, stream: true })) parts.push(part);
  assert.equal(parts.map((part) => part.message.content).join(""), said);
  assert.equal(parts.at(-1).eval_count, whole.eval_count);

  const text = await ollama.generate({ model: "m", prompt: messages[0].content, options });
  assert.equal(text.response, said);
  const left = await ollama.generate({ model: "m", prompt: "Count.", stream: true, options: { num_predict: -1, ignore_eos: true } });
  for await (const _ of left) break;
  left.abort();
  assert.equal((await ollama.chat({ model: "m", messages, options })).message.content, said);
});

test("Ollama's client gets JSON of the schema, vectors and what there is", async () => {
  const format = { type: "object", properties: { n: { enum: [1, 2] } }, required: ["n"], additionalProperties: false };
  const formed = await ollama.chat({ model: "m", messages, format, options: { temperature: 1, seed: 1 } });
  assert.ok([1, 2].includes(JSON.parse(formed.message.content).n));
  const { embeddings } = await ollama.embed({ model: "m", input: ["a", "b"] });
  assert.equal(embeddings.length, 2);
  const { models } = await ollama.list();
  assert.ok(models.some((model) => model.name === "m" && model.size > 0));
  assert.ok((await ollama.show({ model: "m" })).capabilities.includes("completion"));
  assert.ok((await ollama.ps()).models.length >= 1);
  assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/);
});

test("Ollama's client hears errors", async () => {
  await assert.rejects(ollama.chat({ model: "another", messages }), { name: "ResponseError", status_code: 404 });
  await assert.rejects(ollama.chat({ model: "m", messages, options: { top_p: 7 } }), (error) => {
    assert.equal(error.status_code, 400);
    assert.match(error.message, /options\.top_p/);
    return true;
  });
  await assert.rejects(new Ollama({ host }).list(), { status_code: 401 });
});

// Left out, not skipped, where the model knows no tools: a strict run counts a skip as a gap.
if (TOOLS) {
  test("calls of tools, whole and streamed, are the same", async () => {
    const options = {
      ...common,
      messages: [{ role: "user", content: "What is the weather in Oslo, in kelvin?" }],
      max_tokens: 100,
      tools: [{ type: "function", function: weather }],
      tool_choice: "required",
      parallel_tool_calls: false,
    };
    const [choice] = (await client.chat.completions.create(options)).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    const [call] = choice.message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    const made = JSON.parse(call.function.arguments);
    assert.deepEqual(Object.keys(made).sort(), ["city", "unit"]);
    assert.ok(["celsius", "kelvin"].includes(made.unit), made.unit);

    const final = await client.chat.completions.stream(options).finalChatCompletion();
    assert.equal(final.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);

    const { messages: question, tools } = options;
    const asked = { model: "m", messages: question, tools, tool_choice: "required", options: { temperature: 0, num_predict: 100 } };
    const { message } = await ollama.chat(asked);
    const { name, arguments: given } = message.tool_calls[0].function;
    assert.deepEqual([name, Object.keys(given).sort()], ["get_weather", ["city", "unit"]]);
    const result = { role: "tool", tool_name: name, content: "271 kelvin, snow" };
    const last = await ollama.chat({ ...asked, tool_choice: undefined, messages: [...question, message, result] });
    assert.equal(last.message.role, "assistant");
  });
}
