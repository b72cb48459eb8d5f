/** `response_format` and `grammar`: the form that an answer must have. */
import { CraneError } from "./errors.js";
import type { GrammarRequest } from "./protocol.js";
import type { FormOptions } from "./types.js";

function refuse(name: string, reason: string): never {
  throw new CraneError("invalid_argument", `${name}: ${reason}`);
}

function objectOf(name: string, value: unknown, fields: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(name, "an object is wanted");
  for (const field of Object.keys(value)) {
    if (!fields.includes(field)) refuse(`${name}.${field}`, `it is not supported; the fields are ${fields.join(", ")}`);
  }
  return value as Record<string, unknown>;
}

/** The grammar that the two options ask for, if any; each is refused by name where it cannot be kept. */
export function grammarOf({ response_format: format, grammar }: FormOptions): GrammarRequest | undefined {
  const one = format === undefined || format === null ? undefined : formatted(format);
  const other = grammar === undefined || grammar === null ? undefined : written(grammar);
  if (one && other) refuse("grammar", "it does not go with response_format; pass one of them");
  return one ?? other;
}

function formatted(format: unknown): GrammarRequest | undefined {
  const { type, json_schema: described } = objectOf("response_format", format, ["type", "json_schema"]);
  if (type !== "json_schema" && described !== undefined) refuse("response_format.json_schema", 'it goes with type: "json_schema"');
  switch (type) {
    case "text":
      return undefined;
    case "json_object":
      return { type: "json_object" };
    case "json_schema":
      break;
    default:
      refuse("response_format.type", `${JSON.stringify(type)} is none of text, json_object, json_schema`);
  }
  // Name and description are for a service that tells its model of them; here the prompt does. Every schema is kept.
  const where = "response_format.json_schema";
  const { name, description, strict, schema } = objectOf(where, described, ["name", "description", "schema", "strict"]);
  for (const [field, value] of Object.entries({ name, description })) {
    if (value !== undefined && value !== null && typeof value !== "string") refuse(`${where}.${field}`, "a text is wanted");
  }
  if (strict !== undefined && strict !== null && typeof strict !== "boolean") refuse(`${where}.strict`, "true or false is wanted");
  return { type: "json_schema", value: schemaOf(`${where}.schema`, schema) };
}

function written(grammar: unknown): GrammarRequest {
  if (typeof grammar === "string") return { type: "lark", value: grammar };
  const { type, value } = objectOf("grammar", grammar, ["type", "value"]);
  if (type === "json") return { type: "json_schema", value: schemaOf("grammar.value", value) };
  if (type !== "lark" && type !== "regex") refuse("grammar.type", `${JSON.stringify(type)} is none of lark, regex, json`);
  if (typeof value !== "string") refuse("grammar.value", "a text is wanted");
  return { type, value };
}

/** A schema as plain JSON: what a message to the worker cannot carry is found here, by name. */
function schemaOf(name: string, schema: unknown): object {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) refuse(name, "an object is wanted: a JSON schema");
  try {
    return JSON.parse(JSON.stringify(schema)) as object;
  } catch (error) {
    refuse(name, `it is not JSON: ${(error as Error).message}`);
  }
}
