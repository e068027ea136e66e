// Calls to the services, and their problem documents in the reader's language.

import { setClock } from "./clock.js";
import { askedAlready } from "./early.js";
import { signedInAs } from "./session.js";
import { has, language, t } from "./texts.js";

const TIMEOUT_MS = 20000;
const PASSING = [408, 425, 429];
export const REFUSED = [401, 403];
// The connection's fault, not the request's.
const BROKEN_OFF = [
  "upload-interrupted",
  "upload-incomplete",
  "upload-offset-wrong",
  "upload-pieces-missing",
  "caller-gone",
];
// Retrying here and now would be just as slow: the person decides where and when.
const TOO_SLOW = "upload-too-slow";
// What is missing differs from place to place, so only the service can say it.
const TELLING = ["training-unavailable"];

/** Anything that went wrong with a call: the document of a service, or no answer at all (status 0). */
export class Problem extends Error {
  /** @param {Partial<Refusal> & {facts?: Record<string, unknown>}} refusal */
  constructor({ status = 0, code = "", detail = "", retryAfterS = null, facts = {} }) {
    super(detail || code || `status ${status}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
    // What else the document says, by the names of its members.
    this.facts = facts;
  }

  /** Whether the same call may work later. */
  get passing() {
    if (this.code === TOO_SLOW) return false;
    return this.status === 0 || this.status >= 500 || PASSING.includes(this.status) || BROKEN_OFF.includes(this.code);
  }
}

/**
 * Read a problem out of an answer; one that is no document still makes a problem.
 *
 * @param {number} status
 * @param {string} text
 * @param {string | null} retryAfter
 */
export function problemOf(status, text, retryAfter) {
  /** @type {Record<string, unknown>} */
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
    facts: document,
    retryAfterS: retryAfter && Number.isFinite(seconds) ? seconds : null,
  });
}

/**
 * Whether sending a refused photo again could help: what is wrong with the file itself stays wrong.
 *
 * @param {Refusal} problem
 */
export function canHelp(problem) {
  return !problem.code.startsWith("photo-");
}

/**
 * What to tell a person: {text, detail}, where detail is the service's own words, if they add anything.
 *
 * @param {Refusal} problem
 */
export function explain(problem) {
  const byCode = `problem.${problem.code}`;
  const byStatus = `problem.${problem.status}`;
  const general = problem.status >= 500 ? "problem.5xx" : "problem.4xx";
  if (has(byCode)) return { text: t(byCode), detail: TELLING.includes(problem.code) ? problem.detail : "" };
  return { text: t(has(byStatus) ? byStatus : general), detail: problem.detail };
}

export class Api {
  /**
   * `onRefused` is called when a service does not take the session, or not for what was asked.
   *
   * @param {Session} session
   * @param {() => void} onRefused
   */
  constructor(session, onRefused) {
    this.session = session;
    this.onRefused = onRefused;
  }

  /** @param {Record<string, string>} more */
  headers(more = {}) {
    return { ...signedInAs(this.session), "Accept-Language": language(), ...more };
  }

  /**
   * Fetch and check. The caller reads the body. Throws Problem.
   *
   * @param {string} path
   * @param {{method?: string, body?: string | Blob, headers?: Record<string, string>, signal?: AbortSignal,
   *   cache?: RequestCache, timeoutMs?: number}} options where no `timeoutMs` is a limit of its own
   * @returns {Promise<Response>}
   */
  async fetch(path, { method = "GET", body, headers = {}, signal, cache, timeoutMs = TIMEOUT_MS } = {}) {
    const limits = timeoutMs ? [AbortSignal.timeout(timeoutMs)] : [];
    if (signal) limits.push(signal);
    let response;
    const asked = method === "GET" ? askedAlready(this.session, path) : undefined;
    try {
      response = await (asked ??
        fetch(path, {
          method,
          body,
          headers: this.headers(headers),
          signal: limits.length === 1 ? limits[0] : AbortSignal.any(limits),
          cache,
          credentials: "same-origin",
        }));
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ code: error.name === "TimeoutError" ? "silence" : "no-connection" });
    }
    if (response.ok) return response;
    if (REFUSED.includes(response.status)) this.onRefused();
    throw problemOf(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
  }

  /**
   * Ask for JSON, and send some.
   *
   * @param {string} path
   * @param {{json?: object, method?: string, signal?: AbortSignal}} options
   * @returns {Promise<any>}
   */
  async json(path, { json, ...options } = {}) {
    const sent = json === undefined ? {} : { body: JSON.stringify(json) };
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json", ...(json && { "Content-Type": "application/json" }) };
    // A browser's cache lets the same question wait for the answer to the one before it.
    const response = await this.fetch(path, { ...options, ...sent, headers, cache: "no-store" });
    setClock(response.headers.get("Date"));
    try {
      return await response.json();
    } catch {
      throw new Problem({ code: "no-connection" });
    }
  }

  /**
   * One page of a list. A query value may be a list; what is empty in `more` is not asked for.
   *
   * @param {string} path
   * @param {{limit?: number, cursor?: string | null, status?: string[], more?: Record<string, string>}} query
   * @returns {Promise<{items: any[], next: string | null}>}
   */
  async page(path, { limit = 50, cursor = null, status = [], more = {} } = {}) {
    const parameters = new URLSearchParams({ limit: String(limit), ...(cursor && { cursor }) });
    for (const each of status) parameters.append("status", each);
    for (const [name, value] of Object.entries(more)) if (value) parameters.set(name, value);
    return this.list(`${path}?${parameters}`);
  }

  /**
   * The same by its whole address.
   *
   * @param {string} address
   * @returns {Promise<{items: any[], next: string | null}>}
   */
  async list(address) {
    const body = await this.json(address);
    return { items: body.items ?? [], next: body.next_cursor ?? null };
  }
}
