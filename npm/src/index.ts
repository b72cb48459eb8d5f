/**
 * Language models that run in the page.
 *
 * @packageDocumentation
 */
export type { Chat, Completions } from "./chat.js";
export { Crane, type CraneOptions } from "./crane.js";
export { CraneError, type CraneErrorCode, type MemoryNeed } from "./errors.js";
export type { Embedder } from "./embedder.js";
export type { Llm } from "./llm.js";
export type { Tts } from "./tts.js";
export type { StoredModels } from "./stored_models.js";
export type * from "./types.js";
