// Calls to the services, and their problem documents in the reader's language.

import { has, language, t } from "./texts.js";

const TIMEOUT_MS = 20000;
const PASSING = [408, 425, 429];
// The connection's fault, not the request's.
const BROKEN_OFF = ["upload-interrupted", "upload-incomplete", "caller-gone"];
// Here and now it would only be as slow again: the person decides where and when.
const TOO_SLOW = "upload-too-slow";
// What is missing differs from place to place, so only the service can say it.
const TELLING = ["training-unavailable"];

/** Anything that went wrong with a call: the document of a service, or no answer at all (status 0). */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail = "", retryAfterS = null }) {
    super(detail || code || `status ${status}`);
    Object.assign(this, { status, code, detail, retryAfterS });
  }

  /** Whether the same call may work later. */
  get passing() {
    if (this.code === TOO_SLOW) return false;
    return this.status === 0 || this.status >= 500 || PASSING.includes(this.status) || BROKEN_OFF.includes(this.code);
  }
}

/** Read a problem out of an answer; one that is no document still makes a problem. */
export function problemOf(status, text, retryAfter) {
  let document = {};
  try {
    document = JSON.parse(text) ?? {};
  } catch {
    // Something between here and the service answered; its status says enough.
  }
  const seconds = Number(retryAfter);
  return new Problem({
    status,
    code: String(document.code ?? ""),
    detail: String(document.detail ?? ""),
    retryAfterS: retryAfter && Number.isFinite(seconds) ? seconds : null,
  });
}

/** Whether sending a refused photo again could help: what is wrong with the file itself stays wrong. */
export function canHelp(problem) {
  return !problem.code.startsWith("photo-");
}

/** What to tell a person: {text, detail}, where detail is the service's own words, if they add anything. */
export function explain(problem) {
  const byCode = `problem.${problem.code}`;
  const byStatus = `problem.${problem.status}`;
  const general = problem.status >= 500 ? "problem.5xx" : "problem.4xx";
  if (has(byCode)) return { text: t(byCode), detail: TELLING.includes(problem.code) ? problem.detail : "" };
  return { text: t(has(byStatus) ? byStatus : general), detail: problem.detail };
}

export class Api {
  /** `onRefused` is called when the token is no longer taken. */
  constructor(session, onRefused) {
    this.session = session;
    this.onRefused = onRefused;
  }

  headers(more = {}) {
    return { Authorization: `Bearer ${this.session.token}`, "Accept-Language": language(), ...more };
  }

  /** Fetch and check. The caller reads the body. Throws Problem. */
  async fetch(path, { method = "GET", body, headers = {}, signal, cache, timeoutMs = TIMEOUT_MS } = {}) {
    const limits = [signal, timeoutMs && AbortSignal.timeout(timeoutMs)].filter(Boolean);
    let response;
    try {
      response = await fetch(path, {
        method,
        body,
        headers: this.headers(headers),
        signal: AbortSignal.any(limits),
        cache,
        credentials: "omit",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ code: error.name === "TimeoutError" ? "silence" : "no-connection" });
    }
    if (response.ok) return response;
    if (response.status === 401) this.onRefused();
    throw problemOf(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
  }

  async json(path, { json, ...options } = {}) {
    const sent = json === undefined ? {} : { body: JSON.stringify(json) };
    const headers = { Accept: "application/json", ...(json && { "Content-Type": "application/json" }) };
    // A browser's cache lets the same question wait for the answer to the one before it.
    const response = await this.fetch(path, { ...options, ...sent, headers, cache: "no-store" });
    try {
      return await response.json();
    } catch {
      throw new Problem({ code: "no-connection" });
    }
  }

  /** One page of a list: {items, next}. A query value may be a list. */
  async page(path, { limit = 50, cursor = null, ...query } = {}) {
    const parameters = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    for (const [name, values] of Object.entries(query)) {
      for (const value of [values].flat()) parameters.append(name, value);
    }
    const body = await this.json(`${path}?${parameters}`);
    return { items: body.items ?? [], next: body.next_cursor ?? null };
  }
}
