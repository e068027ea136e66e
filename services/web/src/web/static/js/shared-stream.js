// One stream for all tabs of a browser: a browser opens six connections per host over HTTP/1.1, for all its tabs
// together. The tab that holds a Web Lock is connected and tells the others over a BroadcastChannel; when it
// closes, the lock passes to the next. (A SharedWorker would do the same, but Chrome on Android has none.)

import { Stream } from "./stream.js";
import { language } from "./texts.js";

// A tab that leads says something every 15 s; one that a phone put to sleep does not, and keeps its lock.
const ASLEEP_MS = 40000;

function shareable() {
  return Boolean(navigator.locks && window.BroadcastChannel);
}

/** Tells what `Stream` tells, whichever tab has the connection. */
export class SharedStream {
  #stopped = new AbortController();
  #name;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {Stream | null} */
  #own = null;
  /** @type {StreamState} */
  #state = "live";
  #watch = 0;
  #giveUp = () => {};

  /**
   * @param {import("./api.js").Api} api
   * @param {string} path
   * @param {(message: StreamMessage) => void} tell
   */
  constructor(api, path, tell) {
    this.api = api;
    this.path = path;
    this.tell = tell;
    // Only tabs of one person with the same rights share, and of one language: the services write in it.
    const { sub, role, branches } = api.session;
    this.#name = `laundry-stream ${path} ${language()} ${sub} ${role} ${branches.join()}`;
  }

  start() {
    try {
      if (shareable()) this.#share();
      else this.#alone();
    } catch {
      // Channels are there, but not for this page.
      this.#alone();
    }
    return this;
  }

  stop() {
    this.#stopped.abort();
    clearTimeout(this.#watch);
    this.#own?.stop();
    this.#channel?.close();
  }

  #alone() {
    if (this.#stopped.signal.aborted) return;
    clearTimeout(this.#watch);
    this.#channel?.close();
    this.#channel = null;
    this.#own = new Stream(this.api, this.path, this.tell).start();
  }

  #share() {
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#queue();
    // Whoever leads answers with how it is.
    this.#channel.postMessage({ kind: "hello" });
  }

  /** Wait for the lead and hold it until this tab ends or another takes it away, again and again. */
  async #queue() {
    const { signal } = this.#stopped;
    let steal = false;
    while (!signal.aborted) {
      const waiting = new AbortController();
      const options = steal ? { steal } : { signal: AbortSignal.any([waiting.signal, signal]) };
      steal = false;
      this.#giveUp = () => {
        steal = true;
        waiting.abort();
      };
      this.#expect();
      try {
        await navigator.locks.request(this.#name, options, () => this.#lead());
      } catch (error) {
        // Given up, taken away while this tab slept, or this tab ends; anything else: there are no locks for this page.
        if (error?.name !== "AbortError") return this.#alone();
      }
      this.#own?.stop();
      this.#own = null;
    }
  }

  #lead() {
    const { signal } = this.#stopped;
    if (signal.aborted) return null;
    clearTimeout(this.#watch);
    this.#own = new Stream(this.api, this.path, (message) => {
      if (signal.aborted) return;
      this.#note(message);
      this.#channel?.postMessage(message);
      this.tell(message);
    }).start();
    return new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }

  /** @param {StreamMessage} message */
  #hear(message) {
    if (message.kind === "hello") {
      if (!this.#own) return;
      this.#channel?.postMessage({ kind: "state", state: this.#state });
      // Tabs that join later have missed the greeting.
      this.#channel?.postMessage({ kind: "fetch" });
      return;
    }
    // What another tab says while this one leads is the last of one that lost the lead.
    if (this.#own) return;
    this.#expect();
    this.#note(message);
    this.tell(message);
  }

  /** @param {StreamMessage} message */
  #note(message) {
    if (message.kind === "state") this.#state = message.state;
  }

  #expect() {
    clearTimeout(this.#watch);
    if (this.#own || this.#stopped.signal.aborted) return;
    this.#watch = setTimeout(() => this.#giveUp(), ASLEEP_MS * (1 + Math.random() / 2));
  }
}
