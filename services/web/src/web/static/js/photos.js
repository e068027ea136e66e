// Photos: fetched only when they come into view, shown from blobs, few kept in memory.

import { h } from "./dom.js";
import { within } from "./patience.js";
import { pictureAddress } from "./task-addresses.js";
import { t } from "./texts.js";

const KEPT = 80;
// Those for a card.
const LARGE_KEPT = 6;
const AT_ONCE = 3;
const TRIES = 4;
const PAUSE_MS = 1000;
const AHEAD_MS = 3000;
const FIRST_AGAIN_MS = 2000;
const LONGEST_AGAIN_MS = 60000;
const THUMBNAIL_PX = 240;

/** @typedef {{id: string, alt: string, large: boolean}} View */

/**
 * A small copy: twenty phone photos in full size would fill a phone's memory.
 *
 * @param {Blob} blob
 * @returns {Promise<Blob>}
 */
async function thumbnail(blob) {
  const bitmap = await createImageBitmap(blob);
  const scale = Math.min(1, THUMBNAIL_PX / Math.min(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob((small) => resolve(small ?? blob), "image/jpeg", 0.85));
}

export class Photos {
  /** @type {Map<string, string>} */
  #urls = new Map();
  #active = 0;
  /** The one on a card, which somebody waits for: the small ones leave it the line. @type {Promise<unknown>} */
  #awaited = Promise.resolve();
  /** @type {Array<(value?: unknown) => void>} */
  #queue = [];
  /** @type {WeakMap<Element, View>} */
  #views = new WeakMap();
  /** @type {Map<string, Promise<void>>} */
  #adopting = new Map();
  /** Frames whose picture did not come, though it may yet. @type {Set<HTMLElement>} */
  #missed = new Set();
  #again = 0;
  #againMs = FIRST_AGAIN_MS;
  #closed = new AbortController();
  #observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "200px" });

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    const online = () => {
      this.#againMs = FIRST_AGAIN_MS;
      this.#retry();
    };
    window.addEventListener("online", online, { signal: this.#closed.signal });
  }

  /**
   * Take a photo that is on this phone anyway for a task's, so that it is not fetched.
   *
   * @param {string} id
   * @param {Blob} blob
   * @returns {Promise<void>}
   */
  adopt(id, blob) {
    const key = `small ${id}`;
    if (this.#urls.has(key)) return Promise.resolve();
    const adopted = thumbnail(blob)
      .then((small) => this.#remember(key, URL.createObjectURL(small)))
      // Not decodable here: then the view says so.
      .catch(() => {})
      .finally(() => this.#adopting.delete(key));
    this.#adopting.set(key, adopted);
    return adopted;
  }

  /**
   * Make a view of a task's photo: a frame at once, the picture when it is needed and there.
   *
   * @param {string} id
   * @param {{alt: string, large?: boolean}} options
   */
  view(id, { alt, large = false }) {
    const frame = h("span", { class: large ? "photo large" : "photo", "data-state": "empty" });
    this.#views.set(frame, { id, alt, large });
    this.#observer.observe(frame);
    return frame;
  }

  /**
   * Make a view of a photo that is only on this phone yet.
   *
   * @param {string} key
   * @param {Blob} blob
   * @param {{alt: string}} options
   */
  viewOf(key, blob, { alt }) {
    const frame = h("span", { class: "photo", "data-state": "loading" });
    this.adopt(key, blob).then(() => this.#show(frame, this.#urls.get(`small ${key}`), alt));
    return frame;
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#again);
    this.#observer.disconnect();
    for (const url of this.#urls.values()) URL.revokeObjectURL(url);
    this.#urls.clear();
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.#observer.unobserve(target);
      if (target instanceof HTMLElement) this.#load(target);
    }
  }

  /** @param {HTMLElement} frame */
  async #load(frame) {
    const view = this.#views.get(frame);
    if (!view) return;
    const { id, alt, large } = view;
    this.#views.delete(frame);
    // What came to nothing before says so until there is a picture.
    if (frame.dataset.state !== "missing") frame.dataset.state = "loading";
    const key = `${large ? "large" : "small"} ${id}`;
    try {
      await this.#adopting.get(key);
      if (!this.#urls.has(key)) await (large ? this.#ahead(id, key) : this.#turn(() => this.#fetch(id, key)));
      this.#show(frame, this.#urls.get(key), alt);
    } catch (problem) {
      if (problem.code === "photo-deleted") this.#gone(frame, Number(problem.facts.kept_days));
      else this.#show(frame, undefined, alt);
      if (problem.passing !== false) this.#miss(frame, view);
    }
  }

  /**
   * Ask again for a picture after a pause, if it is still wanted then; what broke off as it came is no `Problem`.
   *
   * @param {HTMLElement} frame
   * @param {View} view
   */
  #miss(frame, view) {
    if (this.#closed.signal.aborted || !frame.isConnected) return;
    this.#views.set(frame, view);
    this.#missed.add(frame);
    if (this.#again) return;
    this.#again = setTimeout(() => this.#retry(), this.#againMs);
    this.#againMs = Math.min(2 * this.#againMs, LONGEST_AGAIN_MS);
  }

  #retry() {
    clearTimeout(this.#again);
    this.#again = 0;
    for (const frame of this.#missed) if (frame.isConnected) this.#observer.observe(frame);
    this.#missed.clear();
  }

  /**
   * Say that a photo was kept as long as photos are kept.
   *
   * @param {HTMLElement} frame
   * @param {number} days
   */
  #gone(frame, days) {
    frame.dataset.state = "deleted";
    frame.replaceChildren(h("span", {}, t("photo.deleted", { count: days })));
  }

  /**
   * @param {string} id
   * @param {string} key
   */
  async #ahead(id, key) {
    const coming = this.#fetch(id, key, "display");
    this.#awaited = within(AHEAD_MS, coming).catch(() => {});
    await coming;
  }

  /**
   * @param {string} id
   * @param {string} key
   * @param {"display" | "thumbnail"} size
   */
  async #fetch(id, key, size = "thumbnail") {
    if (this.#urls.has(key)) return;
    const response = await this.#picture(id, size);
    this.#remember(key, URL.createObjectURL(await response.blob()));
    this.#againMs = FIRST_AGAIN_MS;
  }

  /**
   * A picture that nobody has asked for may have to be made first, behind those of others.
   *
   * @param {string} id
   * @param {"display" | "thumbnail"} size
   */
  async #picture(id, size) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.api.fetch(pictureAddress(id, size));
      } catch (problem) {
        if (problem.status !== 503 || tries === TRIES) throw problem;
        await new Promise((resolve) => setTimeout(resolve, (problem.retryAfterS ?? 0) * 1000 || PAUSE_MS));
      }
    }
  }

  /**
   * @param {HTMLElement} frame
   * @param {string | undefined} url
   * @param {string} alt
   */
  #show(frame, url, alt) {
    if (!url) {
      frame.dataset.state = "missing";
      if (alt) {
        // A HEIC that only the service can read, say.
        frame.replaceChildren(h("span", { "aria-hidden": "true" }, t("photo.noPreview")));
        frame.setAttribute("role", "img");
        frame.setAttribute("aria-label", alt);
      }
      return;
    }
    frame.dataset.state = "loading";
    for (const name of ["role", "aria-label"]) frame.removeAttribute(name);
    const image = h("img", { src: url, alt, decoding: "async" });
    image.addEventListener("load", () => (frame.dataset.state = "shown"), { once: true });
    image.addEventListener("error", () => (frame.dataset.state = "missing"), { once: true });
    frame.replaceChildren(image);
  }

  /**
   * @param {string} key
   * @param {string} url
   */
  #remember(key, url) {
    this.#urls.set(key, url);
    const size = key.split(" ")[0];
    const alike = [...this.#urls.keys()].filter((other) => other.startsWith(`${size} `));
    if (alike.length <= (size === "large" ? LARGE_KEPT : KEPT)) return;
    const [oldest] = alike;
    URL.revokeObjectURL(this.#urls.get(oldest) ?? "");
    this.#urls.delete(oldest);
  }

  /**
   * @template Result
   * @param {() => Promise<Result>} work
   */
  async #turn(work) {
    if (this.#active >= AT_ONCE) await new Promise((resolve) => this.#queue.push(resolve));
    this.#active += 1;
    try {
      await this.#awaited;
      return await work();
    } finally {
      this.#active -= 1;
      this.#queue.shift()?.();
    }
  }
}
