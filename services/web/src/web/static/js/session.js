// Who is signed in on this phone. The token stays on the device (and out of every address) until sign-out or
// a service refuses it: a phone that kills the page in a basement must be able to go on sending without a new sign-in.

import { forget, recall, remember } from "./kept.js";

const KEY = "laundry.token";
const TRY_MS = 10000;

/** @param {string} token */
function claimsOf(token) {
  try {
    const body = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims.sub === "string" && typeof claims.role === "string" ? claims : null;
  } catch {
    return null;
  }
}

/**
 * Read what a token says of its holder; the services check whether it is true, and whether its time is over, which
 * the clock of a phone cannot tell. Null if it is no token.
 *
 * @param {string} token
 * @returns {Session | null}
 */
export function sessionOf(token) {
  const claims = claimsOf(token);
  if (!claims) return null;
  return {
    token,
    sub: claims.sub,
    role: claims.role,
    branches: Array.isArray(claims.branches) ? claims.branches.map(String) : [],
  };
}

/** Take a token handed over as `#token=...` and clear it from the address and the history entry. */
export function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return given;
}

export function keptSession() {
  const token = recall(KEY);
  return token ? sessionOf(token) : null;
}

/**
 * Keep a token. Returns its session, or null (and keeps nothing) if it is none.
 *
 * @param {string} token
 */
export function signIn(token) {
  const session = sessionOf(token.trim());
  if (session) remember(KEY, session.token);
  return session;
}

/** Forget a session; one that another tab has put in its place meanwhile stays. */
export function signOut(session = keptSession()) {
  if (session === null || keptSession()?.token === session.token) forget(KEY);
}

/**
 * Call `onChange()` when another tab signs in or out.
 *
 * @param {() => void} onChange
 */
export function watchOtherTabs(onChange) {
  window.addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) onChange();
  });
}

/**
 * Ask a service whether it takes a token: "taken", "refused", or "unknown" while nobody can be asked.
 *
 * @param {Session} session
 */
export async function tried(session) {
  try {
    const response = await fetch("/api/helper/labels", {
      headers: { Authorization: `Bearer ${session.token}`, Accept: "application/json" },
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(TRY_MS),
    });
    // A role that may not see this is known all the same.
    if (response.ok || response.status === 403) return "taken";
    return response.status === 401 ? "refused" : "unknown";
  } catch {
    return "unknown";
  }
}

/**
 * Whether two sessions are of the same person in the same role.
 *
 * @param {Session} one
 * @param {Session} other
 */
export function samePerson(one, other) {
  return one.sub === other.sub && one.role === other.role;
}
