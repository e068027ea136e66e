// Sends the kept photos, one after the other, until a service has confirmed each or refused it for good.

import { Problem, REFUSED } from "./api.js";
import { now } from "./clock.js";
import { lead } from "./one-tab.js";
import { within } from "./patience.js";
import { fitting, smaller } from "./shrink.js";
import { upload } from "./upload.js";
import { PIECE_BYTES, sendPieces } from "./upload-pieces.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60000;
const OTHER_TAB_MS = 3000;
// A photo stored in the cloud is downloaded by the phone first.
const READ_MS = 60000;
// The line carried some of the photo and not the rest.
const BROKEN_OFF = ["no-connection", "silence", "upload-stalled", "upload-too-slow", "upload-interrupted"];
// A smaller copy of the photo may be taken.
const TOO_LARGE = ["photo-too-large", "photo-too-many-pixels"];

/** What cannot be guessed, for a photo or a load. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The photos of one person on this phone.
 *
 * Each has an Idempotency-Key for life, so sending again after a lost answer makes no second task. A photo
 * leaves the phone's store only when a task with it exists or the person throws it away.
 *
 * Tells by events: "changed" (detail: item), "registered" (detail: {item, task}), "gone" (detail: item).
 */
export class UploadQueue extends EventTarget {
  /** @type {UploadItem[]} */
  items = [];
  nextTryAt = 0;
  /** The keys of all that were or are being added: in the store one may be there already, or not yet be gone. */
  #known = new Set();
  #failures = 0;
  #running = false;
  #timer = 0;
  #stopped = new AbortController();
  /** @type {{item: UploadItem, stop: AbortController} | null} */
  #sending = null;

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./photo-store.js").PhotoStore} store
   */
  constructor(api, store) {
    super();
    this.api = api;
    this.store = store;
  }

  /**
   * Call `listener(detail)` at each event of a type.
   *
   * @param {string} type
   * @param {(detail: any) => void} listener
   * @param {{signal: AbortSignal}} options
   */
  on(type, listener, options) {
    this.addEventListener(type, (event) => event instanceof CustomEvent && listener(event.detail), options);
  }

  start() {
    const { signal } = this.#stopped;
    window.addEventListener("online", () => this.#resume(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#resume(), { signal });
    this.#load();
    return this;
  }

  #resume() {
    // What is known here does not wait for the store.
    this.#hurry();
    this.#load();
  }

  /** Take in what is in the store, where another tab may have put some since. */
  async #load() {
    const kept = await this.store.of(this.api.session.sub);
    if (this.#stopped.signal.aborted) return;
    for (const photo of kept.filter(({ key }) => !this.#known.has(key))) {
      this.#known.add(photo.key);
      const unkept = this.store.inMemory(photo.key) ? "no-store" : null;
      /** @type {UploadItem} */
      const item = { ...photo, state: photo.problem ? "refused" : "waiting", progress: 0, unkept };
      this.items.push(item);
      this.#tell("changed", item);
    }
    this.#run();
  }

  stop() {
    this.#stopped.abort();
    clearTimeout(this.#timer);
  }

  /**
   * Keep a photo and send it. Resolves once it is kept, on the phone or else (`unkept`: why) in memory. Rejects if
   * the file cannot be read, with TooLarge if it is over the limit and cannot be made smaller here.
   *
   * @param {Blob & {name?: string}} file
   * @param {{branchId: string, note: string, loadId: string, replaces?: string[]}} what
   * @param {{insteadOf?: UploadItem | null}} options a photo that it was taken instead of, and that is not sent
   */
  async add(file, what, { insteadOf = null } = {}) {
    const fits = await fitting(file);
    const photo = {
      replaces: [],
      ...what,
      key: newKey(),
      sub: this.api.session.sub,
      // A copy: the file behind a picked photo can change or vanish.
      blob: new Blob([await within(READ_MS, fits.arrayBuffer())], { type: fits.type }),
      name: file.name || "photo",
      addedAt: now(),
      problem: null,
    };
    this.#known.add(photo.key);
    const unkept = await this.store.put(photo, { insteadOf: insteadOf?.key });
    /** @type {UploadItem} */
    const item = { ...photo, state: "waiting", progress: 0, unkept };
    if (insteadOf) this.#leave(insteadOf);
    this.items.push(item);
    this.#tell("changed", item);
    this.#run();
    return item;
  }

  /**
   * Take another photo instead of one that is not registered yet, as far as this phone knows: its upload may have
   * arrived all the same, or be about to, so the service is told to withdraw what was sent under its key.
   *
   * @param {UploadItem} item
   * @param {Blob & {name?: string}} file
   */
  retake(item, file) {
    const { branchId, note, loadId, replaces = [] } = item;
    return this.add(file, { branchId, note, loadId, replaces: [...replaces, `key:${item.key}`] }, { insteadOf: item });
  }

  /**
   * Send a photo although what it was to replace cannot be replaced any more.
   *
   * @param {UploadItem} item
   */
  async sendBeside(item) {
    const others = (item.replaces ?? []).filter((each) => !each.startsWith("task:"));
    item.replaces = others.length < (item.replaces?.length ?? 0) ? others : [];
    await this.retry(item);
  }

  /**
   * Try a refused photo again.
   *
   * @param {UploadItem} item
   */
  async retry(item) {
    Object.assign(item, { state: "waiting", problem: null });
    await this.#keep(item);
    this.#tell("changed", item);
    this.#hurry();
  }

  /**
   * Throw a photo away that is not being sent.
   *
   * @param {UploadItem} item
   */
  async discard(item) {
    if (item.state === "sending") return;
    await this.#removeFromStore(item);
    this.#forget(item);
    this.#tell("gone", item);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /**
   * Stop sending a photo, and forget it.
   *
   * @param {UploadItem} item
   */
  #leave(item) {
    if (item === this.#sending?.item) this.#sending.stop.abort();
    this.#forget(item);
    this.#tell("gone", item);
  }

  /** @param {UploadItem} item */
  #forget(item) {
    this.items = this.items.filter((other) => other !== item);
  }

  /** @param {UploadItem} item */
  async #keep(item) {
    const { state: _state, progress: _progress, unkept: _unkept, ...photo } = item;
    item.unkept = await this.store.put(photo);
  }

  /** @param {UploadItem} item */
  async #removeFromStore(item) {
    // One that stays in a store which fails is sent again some day, and makes no second task.
    await this.store.remove(item.key).catch(() => {});
  }

  #hurry() {
    this.nextTryAt = 0;
    this.#run();
  }

  /** @param {number} pauseMs */
  #later(pauseMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), pauseMs);
  }

  async #run() {
    if (this.#running || this.#stopped.signal.aborted) return;
    this.#running = true;
    try {
      // Two open tabs share the store. Where both send all the same, that makes no second task.
      const { mine, release } = await lead(`laundry-upload-${this.api.session.sub}`);
      try {
        if (mine) await this.#sendAll();
        else if (this.items.some((item) => item.state === "waiting")) this.#later(OTHER_TAB_MS);
      } finally {
        release();
      }
    } finally {
      this.#running = false;
    }
  }

  async #sendAll() {
    for (;;) {
      const item = this.items.find((each) => each.state === "waiting");
      if (!item || this.#stopped.signal.aborted) return;
      const wait = this.nextTryAt - performance.now();
      if (wait > 0) return this.#later(wait);
      if (await this.store.has(item.key)) await this.#sendOne(item);
      else {
        // Another tab did.
        this.#forget(item);
        this.#tell("gone", item);
      }
    }
  }

  /** @param {UploadItem} item */
  async #sendOne(item) {
    Object.assign(item, { state: "sending", progress: 0 });
    this.#tell("changed", item);
    const stop = new AbortController();
    this.#stopped.signal.addEventListener("abort", () => stop.abort(), { once: true, signal: stop.signal });
    this.#sending = { item, stop };
    try {
      const options = {
        signal: stop.signal,
        inPieces: item.inPieces,
        onProgress: (/** @type {number} */ progress) => {
          item.progress = progress;
          this.#tell("changed", item);
        },
      };
      if (item.inPieces) await sendPieces(item, this.api, options);
      const task = await upload(item, this.api.headers(), options);
      this.#failures = 0;
      this.#forget(item);
      this.#tell("registered", { item, task });
      // Nobody is kept waiting for a slow disk.
      this.#removeFromStore(item);
    } catch (error) {
      // Left, because another was taken instead.
      if (this.#stopped.signal.aborted || !this.items.includes(item)) return;
      const problem = error instanceof Problem ? error : new Problem({ code: "no-connection" });
      await this.#failed(item, problem);
    } finally {
      this.#sending = null;
    }
  }

  /**
   * @param {UploadItem} item
   * @param {Problem} problem
   */
  async #failed(item, problem) {
    item.state = "waiting";
    if (REFUSED.includes(problem.status)) this.api.onRefused();
    if (BROKEN_OFF.includes(problem.code) && item.blob.size > PIECE_BYTES && item.progress > 0) {
      // What arrives in pieces need not be sent again.
      if (!item.inPieces) problem = new Problem({ code: "no-connection" });
      item.inPieces = true;
    }
    // Where the session is over this queue ends, and the photo goes on after the next sign-in.
    if (problem.passing || problem.status === 401) {
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
      this.#failures += 1;
      this.nextTryAt =
        performance.now() + Math.max((problem.retryAfterS ?? 0) * 1000, pause * (0.5 + Math.random() / 2));
      // To the back, so that one failing photo does not block the others.
      this.#forget(item);
      this.items.push(item);
    } else if (!(await this.#shrunk(item, problem))) {
      const { status, code, detail } = problem;
      Object.assign(item, { state: "refused", problem: { status, code, detail } });
      await this.#keep(item);
    }
    this.#tell("changed", item);
  }

  /**
   * Whether a smaller copy waits now in the place of a photo that is too large for the service.
   *
   * @param {UploadItem} item
   * @param {Problem} problem
   */
  async #shrunk(item, { code }) {
    if (!TOO_LARGE.includes(code) || item.shrunk) return false;
    try {
      item.blob = await smaller(item.blob);
    } catch {
      return false;
    }
    item.shrunk = true;
    await this.#keep(item);
    return true;
  }
}
