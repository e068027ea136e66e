// What an owner sees first, asked for before the modules that show it have come: on a slow line both take a second.

import { keptFilter, ordered } from "./confirm-order.js";
import { keptSession, signedInAs } from "./session.js";
import { pictureAddress, waitingAddress } from "./task-addresses.js";

const TIMEOUT_MS = 20000;
// What nobody has taken by then is old.
const FRESH_MS = 10000;

/** @type {Map<string, Promise<Response>>} */
const asked = new Map();

/**
 * The answer to a question that was asked already, for the same person, once.
 *
 * @param {Session} session
 * @param {string} path
 */
export function askedAlready(session, path) {
  const key = keyOf(session, path);
  const answer = asked.get(key);
  asked.delete(key);
  return answer;
}

/**
 * @param {Session} session
 * @param {string} path
 */
function keyOf({ sub }, path) {
  return `${sub} ${path}`;
}

/**
 * @param {Session} session
 * @param {string} path
 * @param {RequestCache} [cache]
 */
function ask(session, path, cache) {
  const headers = { ...signedInAs(session), Accept: "application/json, image/*" };
  const answer = fetch(path, { headers, cache, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const key = keyOf(session, path);
  asked.set(key, answer);
  setTimeout(() => asked.delete(key), FRESH_MS);
  return answer;
}

async function askForOwner() {
  const session = keptSession();
  const view = new URLSearchParams(location.search).get("view") ?? "confirm";
  if (session?.role !== "owner" || location.pathname !== "/owner" || view !== "confirm") return;
  const filter = keptFilter(session);
  const list = (await ask(session, waitingAddress(filter), "no-store")).clone();
  const [first] = list.ok ? ordered((await list.json()).items, filter) : [];
  if (first) await ask(session, pictureAddress(first.id, "display"));
}

// Whoever asks again learns what was wrong.
askForOwner().catch(() => {});
