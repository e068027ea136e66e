// A list that stays true by itself: fetched once, then told of changes, and fetched again after every gap.

import { SharedStream } from "./shared-stream.js";

const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 15000;
// A storm changes much at once; one look tells of all.
const AGAIN_MS = 400;
// A tab in the background draws no frames, but its title and what a screen reader is told have to be right.
const WITHOUT_FRAMES_MS = 250;

/**
 * Whether to take an object over the one that is known: an answer may be overtaken by an event, and be older.
 *
 * @param {{version?: number}} next
 * @param {{version?: number} | undefined} known
 */
export function supersedes(next, known) {
  return !known || (next.version ?? 0) >= (known.version ?? 0);
}

/**
 * The task that an event is about: an event may be too small for all of it. Null if it cannot be fetched.
 *
 * @param {import("./api.js").Api} api
 * @param {Task | {id: string}} changed
 * @returns {Promise<Task | null>}
 */
export async function wholeTask(api, changed) {
  if ("status" in changed && "photo" in changed) return changed;
  try {
    return await api.json(`/api/helper/tasks/${encodeURIComponent(changed.id)}`);
  } catch {
    return null;
  }
}

/** Fetches a list and keeps what changes meanwhile: a list is as old as its request, so a change is newer. */
export class ReconciledFetch {
  /** @type {Set<Map<string, any>>} */
  #open = new Set();
  #asked = 0;
  #applied = 0;

  /**
   * Fetch a list, then `apply(list, changes)` with a Map of the objects by key that were noted since it was asked
   * for. A list that was overtaken by one asked for later is left out: it is older than what is shown.
   *
   * @template List
   * @param {() => Promise<List>} fetch
   * @param {(list: List, changes: Map<string, any>) => void} apply
   */
  async during(fetch, apply) {
    /** @type {Map<string, any>} */
    const changes = new Map();
    const asked = ++this.#asked;
    this.#open.add(changes);
    try {
      const list = await fetch();
      if (asked < this.#applied) return;
      this.#applied = asked;
      apply(list, changes);
    } finally {
      this.#open.delete(changes);
    }
  }

  /** @param {any} object */
  note(object, key = object.id) {
    for (const changes of this.#open) changes.set(key, object);
  }
}

/** One drawing for everything that has changed since the last, however much that is. */
export class OncePerFrame {
  #frame = 0;
  #timer = 0;

  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
  }

  /** Draw with the next frame. */
  ask() {
    if (this.#timer) return;
    this.#frame = requestAnimationFrame(() => this.#now());
    this.#timer = setTimeout(() => this.#now(), WITHOUT_FRAMES_MS);
  }

  cancel() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #now() {
    this.cancel();
    this.draw();
  }
}

/** Follow a stream until `stop()`: the list is fetched as it begins, after every gap, and while it is away. */
export class Live {
  #stopped = false;
  #wanted = false;
  /** @type {StreamState} */
  #state = "live";
  #fetching = false;
  #later = 0;
  #drawing;

  /**
   * `refresh()` fetches the list, `onState` is told how it is. `onChange(object)` takes one changed object, and
   * `draw()` shows, once per frame, all that it took; without it, the list is fetched again for all that changed.
   *
   * @param {import("./api.js").Api} api
   * @param {string} path
   * @param {{refresh(): Promise<void>, onChange?: (object: any) => Promise<void> | void, draw?: () => void,
   *   onState?: (state: StreamState) => void}} to
   */
  constructor(api, path, { refresh, onChange, draw = () => {}, onState = () => {} }) {
    this.refresh = refresh;
    this.onChange = onChange;
    this.onState = onState;
    this.#drawing = new OncePerFrame(draw);
    this.stream = new SharedStream(api, path, (message) => this.#hear(message));
  }

  start() {
    this.stream.start();
    return this;
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#later);
    this.#drawing.cancel();
    this.stream.stop();
  }

  /** Draw with the next frame. */
  drawSoon() {
    if (!this.#stopped) this.#drawing.ask();
  }

  /** @param {StreamMessage} message */
  #hear(message) {
    if (this.#stopped) return;
    if (message.kind === "state") {
      this.#state = message.state;
      this.onState(message.state);
    } else if (message.kind === "change") this.#change(message.object);
    else if (message.kind === "fetch") this.#fetch();
  }

  /** @param {any} object */
  async #change(object) {
    if (this.onChange) {
      await this.onChange(object);
      this.drawSoon();
    } else {
      this.#later ||= setTimeout(() => {
        this.#later = 0;
        this.#fetch();
      }, AGAIN_MS);
    }
  }

  /** Until it succeeds: while a stream lives nobody says a second time that something is missing. */
  async #fetch() {
    this.#wanted = true;
    if (this.#fetching) return;
    this.#fetching = true;
    for (let pause = FIRST_PAUSE_MS; this.#wanted && !this.#stopped; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      this.#wanted = false;
      try {
        await this.refresh();
      } catch {
        // Where the stream is away too, its next attempt asks again.
        if (this.#state !== "live") continue;
        this.#wanted = true;
        await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
      }
    }
    this.#fetching = false;
  }
}
