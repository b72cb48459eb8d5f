/** A conversation as a file: JSON for programs, Markdown for people. */
import type { Conversation } from "./conversation_store.js";

/** The messages as OpenAI's API and `crane run --messages` take them. */
export function toJson({ messages }: Conversation): string {
  return `${JSON.stringify(messages.map(({ role, content }) => ({ role, content })), null, 2)}\n`;
}

/** The conversation with a heading for each message. */
export function toMarkdown({ title, created, model, messages }: Conversation): string {
  const date = new Date(created).toISOString().slice(0, 10);
  const head = `# ${title || "Conversation"}\n\n${[date, model].filter(Boolean).join(", ")}\n`;
  const body = messages.map(({ role, content }) => `\n## ${role === "user" ? "You" : "Crane"}\n\n${closed(content.trim())}\n`);
  return head + body.join("");
}

/** Ends code that an answer has begun and not ended, which would swallow what follows. */
function closed(text: string): string {
  let fence: string | undefined;
  for (const line of text.split("\n")) {
    const [, signs, rest = ""] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (signs === undefined) continue;
    if (fence === undefined) fence = signs[0] === "`" && rest.includes("`") ? undefined : signs;
    else if (signs[0] === fence[0] && signs.length >= fence.length && rest.trim() === "") fence = undefined;
  }
  return fence === undefined ? text : `${text}\n${fence}`;
}

/** Gives a person a file. */
export function saveFile(name: string, text: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file name made of a title. */
export function fileName(title: string, end: string): string {
  const plain = title.normalize("NFC").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${[...plain].slice(0, 60).join("") || "conversation"}.${end}`;
}
