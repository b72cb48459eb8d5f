/**
 * The conversations of this browser. All of them are held in memory, and a copy in IndexedDB where the browser has it: a storage that is
 * full, refused or taken away costs the next visit, never this one.
 */
import { forget, recall } from "./memory.js";

/** What a person or the model has said. */
export interface Message {
  role: "user" | "assistant";
  content: string;
  /** What the answer cost, or why it ended early. */
  note?: string;
}

/** A conversation with a name. */
export interface Conversation {
  id: string;
  title: string;
  /** Whether a person chose the title; else it is the beginning of the first question. */
  named: boolean;
  /** Milliseconds since 1970. */
  created: number;
  updated: number;
  /** The model that answered last. */
  model: string;
  messages: Message[];
}

const DATABASE = "crane";
const TABLE = "conversations";
/** Milliseconds after which a database that does not answer counts as none. */
const PATIENCE = 4000;
/** Characters of a title. */
const TITLE = 80;

/** A conversation that has not begun. */
export function newConversation(): Conversation {
  const now = Date.now();
  return { id: newId(), title: "", named: false, created: now, updated: now, model: "", messages: [] };
}

/** The title that a conversation has until somebody chooses one. */
export function titleOf({ messages }: Conversation): string {
  const line = messages.find(({ role }) => role === "user")?.content.trim().split("\n")[0] ?? "";
  return shorten(line);
}

/** A title of bounded length on one line. */
export function shorten(text: string): string {
  const letters = [...text.slice(0, 4 * TITLE).replace(/\s+/g, " ").trim()];
  return letters.length > TITLE ? `${letters.slice(0, TITLE - 1).join("")}…` : letters.join("");
}

/** The conversations; made by `open`. */
export class ConversationStore {
  /** Why conversations are not kept, if they are not. */
  trouble: string | undefined;
  /** Called when anything has changed, in this tab or another one. */
  onChange: () => void = () => {};

  readonly #all = new Map<string, Conversation>();
  readonly #tabs = typeof BroadcastChannel === "function" ? new BroadcastChannel("crane:conversations") : undefined;
  #database: Promise<IDBDatabase> | undefined;
  /** Writes happen one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** Reads what was kept; the conversation of the page's earlier versions becomes the first of the list. */
  static async open(): Promise<ConversationStore> {
    const store = new ConversationStore();
    await store.#read();
    const earlier = recall("messages");
    if (Array.isArray(earlier) && earlier.length > 0 && earlier.every(isMessage)) {
      const adopted = { ...newConversation(), messages: earlier.map(({ role, content }) => ({ role, content })) };
      await store.save(adopted);
      if (store.trouble === undefined) forget("messages");
    }
    store.#tabs?.addEventListener("message", () => void store.#read());
    return store;
  }

  /** Those whose title or messages have all the words of a query, the latest first. */
  list(query = ""): Conversation[] {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const has = ({ title, messages }: Conversation): boolean => {
      const texts = [title, ...messages.map(({ content }) => content)].map((text) => text.toLowerCase());
      return words.every((word) => texts.some((text) => text.includes(word)));
    };
    const found = [...this.#all.values()].filter((conversation) => words.length === 0 || has(conversation));
    return found.sort((one, other) => other.updated - one.updated);
  }

  /** A copy of a conversation. */
  get(id: string): Conversation | undefined {
    const found = this.#all.get(id);
    return found && structuredClone(found);
  }

  /**
   * Keeps a conversation as it is now. Where another tab has gone on with it since it was read, this one becomes a conversation of its own:
   * its `id` changes.
   */
  save(conversation: Conversation): Promise<void> {
    return this.#queue(async () => {
      if (!conversation.named) conversation.title = titleOf(conversation);
      const before = conversation.updated;
      conversation.updated = Math.max(Date.now(), before + 1);
      await this.#write((table, fail) => {
        const reading = table.get(conversation.id);
        reading.onsuccess = () => {
          const kept: unknown = reading.result;
          if (isConversation(kept) && kept.updated !== before) conversation.id = newId();
          try {
            table.put(structuredClone(conversation));
          } catch (error) {
            fail(error);
          }
        };
      });
      this.#all.set(conversation.id, structuredClone(conversation));
      this.#changed();
    });
  }

  /** Gives a conversation another title. */
  rename(conversation: Conversation, title: string): Promise<void> {
    const short = shorten(title);
    Object.assign(conversation, { title: short, named: short !== "" });
    return this.save(conversation);
  }

  /** Removes a conversation; `save` brings it back. */
  remove(id: string): Promise<void> {
    return this.#queue(async () => {
      await this.#write((table) => table.delete(id));
      this.#all.delete(id);
      this.#changed();
    });
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  #changed(): void {
    this.#tabs?.postMessage("changed");
    this.onChange();
  }

  async #read(): Promise<void> {
    try {
      const database = await this.#connect();
      const kept = await new Promise<unknown[]>((resolve, reject) => {
        const reading = database.transaction(TABLE).objectStore(TABLE).getAll();
        reading.onsuccess = () => resolve(reading.result);
        reading.onerror = () => reject(reading.error);
      });
      // What could not be kept lives on in this tab alone.
      if (this.trouble === undefined) this.#all.clear();
      for (const record of kept) if (isConversation(record)) this.#all.set(record.id, record);
    } catch (error) {
      this.#fail(error);
    }
    this.onChange();
  }

  /** Does something with the table; what fails is remembered as `trouble` and does not throw. */
  async #write(act: (table: IDBObjectStore, fail: (error: unknown) => void) => void): Promise<void> {
    try {
      const database = await this.#connect();
      await new Promise<void>((resolve, reject) => {
        const transaction = database.transaction(TABLE, "readwrite");
        transaction.oncomplete = () => resolve();
        transaction.onerror = transaction.onabort = () => reject(transaction.error);
        act(transaction.objectStore(TABLE), reject);
      });
      this.trouble = undefined;
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#database = undefined;
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    this.trouble = full
      ? "The browser’s storage is full: new messages are kept only until this tab is closed. Delete conversations or models to make room."
      : "This browser does not store conversations: they are kept only until this tab is closed.";
    console.warn(`conversations are not stored: ${String(error)}`);
  }

  #connect(): Promise<IDBDatabase> {
    this.#database ??= connect((database) => {
      // Closed by the browser, or because a later version of the page wants it: opened again when it is needed.
      database.onclose = () => (this.#database = undefined);
      database.onversionchange = () => {
        database.close();
        this.#database = undefined;
      };
    });
    return this.#database;
  }
}

function connect(prepare: (database: IDBDatabase) => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    setTimeout(() => reject(new Error("the database does not answer")), PATIENCE);
    opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE, { keyPath: "id" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      prepare(opening.result);
      resolve(opening.result);
    };
  });
}

/** Not `crypto.randomUUID`: that exists only in secure contexts. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isMessage(value: unknown): value is Message {
  const { role, content, note } = (value ?? {}) as Partial<Record<keyof Message, unknown>>;
  return (role === "user" || role === "assistant") && typeof content === "string" && (note === undefined || typeof note === "string");
}

/** What another version of the page has kept may have another shape. */
function isConversation(value: unknown): value is Conversation {
  const { id, title, named, created, updated, model, messages } = (value ?? {}) as Partial<Record<keyof Conversation, unknown>>;
  const texts = [id, title, model].every((text) => typeof text === "string");
  const times = [created, updated].every((time) => Number.isFinite(time));
  return texts && times && typeof named === "boolean" && Array.isArray(messages) && messages.every(isMessage);
}
