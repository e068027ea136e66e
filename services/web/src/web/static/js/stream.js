// One connection to an event stream, taken up again whenever it ends.

import { Problem } from "./api.js";
import { readEvents } from "./events.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
// The services send something every 15 s.
const SILENCE_MS = 45000;
const GREETING_MS = 2000;

/**
 * Follows a path until `stop()` and tells, as plain objects that also another tab can be sent:
 * {kind: "state", state: "live" | "away" | "crowded"}, {kind: "alive"} for any sign of life,
 * {kind: "fetch"} when what is known may be short of something, and {kind: "change", object}.
 *
 * While the stream is away, each attempt to reach it also tells to fetch, so that polling is what remains when
 * nothing but plain requests get through.
 */
export class Stream {
  #stopped = new AbortController();
  #left = new AbortController();
  #wake = () => {};
  #failures = 0;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} path
   * @param {(message: StreamMessage) => void} tell
   */
  constructor(api, path, tell) {
    this.api = api;
    this.path = path;
    this.tell = tell;
  }

  start() {
    const { signal } = this.#stopped;
    window.addEventListener("online", () => this.#wake(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(), { signal });
    // A page that was left may be kept for the way back, and its connections are of the six that there are.
    window.addEventListener("pagehide", () => this.#leave(), { signal });
    window.addEventListener("pageshow", () => this.#wake(), { signal });
    this.#follow();
    return this;
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  #leave() {
    this.#left.abort();
    this.#left = new AbortController();
  }

  async #follow() {
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#listen();
        this.#failures = Math.max(this.#failures, 1);
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        this.#failures += 1;
        // Whether the session is over is found out elsewhere; if it is not, the next attempt has a new token.
        if (error instanceof Problem && error.status === 401) {
          await this.#pause();
          continue;
        }
        const crowded = error instanceof Problem && error.status === 429;
        // More of the same is no help: from the start at the slowest pace.
        if (crowded) this.#failures = Number.MAX_SAFE_INTEGER;
        this.tell({ kind: "state", state: crowded ? "crowded" : "away" });
        this.tell({ kind: "fetch" });
      }
      await this.#pause();
    }
  }

  async #listen() {
    const ended = new AbortController();
    const { signal } = ended;
    // Not AbortSignal.any: WebKit may forget such a signal while its answer is read, and the connection stays.
    for (const other of [this.#left.signal, this.#stopped.signal]) {
      if (other.aborted) return;
      other.addEventListener("abort", () => ended.abort(), { signal });
    }
    let watch = setTimeout(() => ended.abort(), SILENCE_MS);
    let greeting = 0;
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
      this.tell({ kind: "state", state: "live" });
      // A service greets once it listens; what changed before that is in the list fetched then.
      let greeted = false;
      const greet = () => {
        if (greeted) return;
        greeted = true;
        this.tell({ kind: "fetch" });
      };
      greeting = setTimeout(greet, GREETING_MS);
      await readEvents(response, {
        onEvent: (event) => this.#take(event),
        onBytes: () => {
          greet();
          this.tell({ kind: "alive" });
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

  /** @param {StreamEvent} event */
  #take(event) {
    if (event.type === "reset") {
      this.tell({ kind: "fetch" });
      return;
    }
    let object;
    try {
      object = JSON.parse(event.data);
    } catch {
      return;
    }
    if (typeof object === "string") object = { id: object };
    // A greeting names nothing.
    if (object?.id) this.tell({ kind: "change", object });
  }

  #pause() {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(this.#failures - 1, 0), LONGEST_PAUSE_MS);
    // Not all phones of a branch at the same moment after a restart.
    const pause = this.#failures === 0 ? 0 : longest * (0.5 + Math.random() / 2);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
