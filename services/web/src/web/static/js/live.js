// A list that stays true by itself: fetched once, then told of changes, and fetched again after every gap.

import { Problem } from "./api.js";
import { readEvents } from "./events.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
// The services send something every 15 s.
const SILENCE_MS = 45000;
const GREETING_MS = 2000;

/** Whether to take an object over the one that is known: an answer may be overtaken by an event, and be older. */
export function supersedes(next, known) {
  return !known || (next.version ?? 0) >= (known.version ?? 0);
}

/** What changes while a list is on its way: a list is as old as its asking, so these are newer than what it says. */
export class Meanwhile {
  #open = new Set();

  /** Fetch a list, then `apply(list, changes)` with a Map of the objects by id that were noted since it was asked for. */
  async during(fetch, apply) {
    const changes = new Map();
    this.#open.add(changes);
    try {
      apply(await fetch(), changes);
    } finally {
      this.#open.delete(changes);
    }
  }

  note(object) {
    for (const changes of this.#open) changes.set(object.id, object);
  }
}

/**
 * Follow a stream until `stop()`.
 *
 * While the stream is away, each attempt to reach it also refreshes the list, so that polling is what remains
 * when nothing but plain requests get through.
 */
export class Live {
  #stopped = new AbortController();
  #wake = () => {};
  #failures = 0;

  /** `refresh()` fetches the list, `onChange(object)` takes one changed object, `onState("live"|"away")`. */
  constructor(api, path, { refresh, onChange, onState = () => {} }) {
    Object.assign(this, { api, path, refresh, onChange, onState });
  }

  start() {
    const { signal } = this.#stopped;
    window.addEventListener("online", () => this.#wake(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(), { signal });
    this.#follow();
    return this;
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  async #follow() {
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#listen();
        this.#failures = Math.max(this.#failures, 1);
      } catch (error) {
        if (this.#stopped.signal.aborted || (error instanceof Problem && error.status === 401)) return;
        this.#failures += 1;
        this.onState("away");
        await this.#refreshed();
      }
      await this.#pause();
    }
  }

  async #listen() {
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#stopped.signal]);
    let watch = setTimeout(() => ended.abort(), SILENCE_MS);
    let greeting;
    try {
      const response = await this.api.fetch(this.path, {
        headers: { Accept: "text/event-stream" },
        signal,
        timeoutMs: 0,
      });
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
        throw new Problem({ status: response.status, code: "no-stream" });
      }
      this.#failures = 0;
      this.onState("live");
      // A service greets once it listens; what changed before that is in the list fetched then.
      let greeted = false;
      const greet = () => {
        if (greeted) return;
        greeted = true;
        this.#refreshed();
      };
      greeting = setTimeout(greet, GREETING_MS);
      await readEvents(response, {
        onEvent: (event) => this.#take(event),
        onBytes: () => {
          greet();
          clearTimeout(watch);
          watch = setTimeout(() => ended.abort(), SILENCE_MS);
        },
      });
    } finally {
      clearTimeout(watch);
      clearTimeout(greeting);
      ended.abort();
    }
  }

  #take(event) {
    let object;
    try {
      object = JSON.parse(event.data);
    } catch {
      return;
    }
    if (typeof object === "string") object = { id: object };
    // A greeting names nothing.
    if (object?.id) this.onChange(object);
  }

  async #refreshed() {
    try {
      await this.refresh();
    } catch {
      // The next attempt tries again; the page already says that it is away.
    }
  }

  #pause() {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(this.#failures - 1, 0), LONGEST_PAUSE_MS);
    // Not all phones of a branch at the same moment after a restart.
    const pause = this.#failures === 0 ? 0 : longest * (0.5 + Math.random() / 2);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
