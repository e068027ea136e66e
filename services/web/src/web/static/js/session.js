// Who is signed in on this phone. The session itself is a cookie that no script can read; kept here is whose it is,
// so that a phone without a signal opens the right page and goes on photographing.

import { forget, recall, remember } from "./kept.js";

const KEY = "laundry.session";
// Signed out here, and the service does not know yet.
const LEAVING = "laundry.leaving";
// Whoever signs in next is asked who they are: somebody else may still be known at the provider.
const AFRESH = "laundry.afresh";
// From when people pasted tokens.
const TOKEN = "laundry.token";
const ASK_MS = 10000;

/**
 * @param {any} said
 * @returns {Session | null}
 */
function sessionOf(said) {
  if (typeof said?.sub !== "string" || typeof said.role !== "string") return null;
  const branches = Array.isArray(said.branches) ? said.branches.map(String) : [];
  return { sub: said.sub, role: said.role, branches, name: String(said.name ?? said.sub) };
}

export function keptSession() {
  try {
    return sessionOf(JSON.parse(recall(KEY) ?? "null"));
  } catch {
    return null;
  }
}

/** @param {Session} session */
export function keep(session) {
  remember(KEY, JSON.stringify(session));
  forget(AFRESH);
}

/** Let the next sign-in ask who it is, also after a reload and in other tabs, until somebody has signed in. */
export function askAfresh() {
  remember(AFRESH, "yes");
}

/** Whether the next sign-in asks who it is. */
export function isAfresh() {
  return recall(AFRESH) !== null;
}

export function forgetSession() {
  forget(KEY);
  forget(TOKEN);
}

/**
 * The headers that say whom this page shows: a session that another tab has begun for somebody else does not count
 * for it.
 *
 * @param {Session} session
 */
export function signedInAs(session) {
  return { "X-Signed-In-As": encodeURIComponent(session.sub) };
}

/**
 * Ask who is signed in: `{session}`, or `{why, providers}` where nobody is, or `{}` while nobody can be asked.
 *
 * @returns {Promise<{session?: Session, why?: string, providers?: string[]}>}
 */
export async function ask() {
  if (!(await finishLeaving())) return {};
  try {
    const response = await fetch("/auth/session", {
      headers: { Accept: "application/json" },
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(ASK_MS),
    });
    const said = await response.json();
    if (response.ok) return { session: sessionOf(said) ?? undefined };
    return response.status === 401 ? { why: String(said.code), providers: said.providers ?? [] } : {};
  } catch {
    return {};
  }
}

/**
 * Sign out, now or as soon as there is a connection. Resolves to where the browser goes to sign out of the provider.
 *
 * @returns {Promise<string | null>}
 */
export async function signOut() {
  remember(LEAVING, "yes");
  askAfresh();
  // Last: other tabs follow it.
  forgetSession();
  return leave();
}

/** Whether somebody has signed out here and the service does not know yet. */
export function isLeaving() {
  return recall(LEAVING) !== null;
}

/** Tell the service of a sign-out that it does not know of. Returns whether it knows of all. */
export async function finishLeaving() {
  if (isLeaving()) await leave();
  return !isLeaving();
}

async function leave() {
  try {
    const response = await fetch("/auth/sign-out", {
      method: "POST",
      credentials: "same-origin",
      signal: AbortSignal.timeout(ASK_MS),
    });
    if (!response.ok) return null;
    forget(LEAVING);
    return (await response.json()).location;
  } catch {
    return null;
  }
}

/**
 * The address that signs in, and leads back to the page that is open.
 *
 * @param {{provider?: string}} how
 */
export function signInAddress({ provider } = {}) {
  const query = new URLSearchParams({ next: location.pathname + location.search, lang: document.documentElement.lang });
  if (provider) query.set("provider", provider);
  if (isAfresh()) query.set("prompt", "login");
  return `/auth/sign-in?${query}`;
}

/** Take what the address says of a sign-in that came to nothing, and clear it from there. */
export function takeOutcome() {
  const address = new URL(location.href);
  const why = address.searchParams.get("sign-in");
  if (why === null) return null;
  address.searchParams.delete("sign-in");
  history.replaceState(null, "", address.pathname + address.search);
  return why;
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
 * @param {Session | null} one
 * @param {Session | null} other
 */
export function samePerson(one, other) {
  return one !== null && other !== null && one.sub === other.sub;
}

/**
 * Whether the same person may do the same.
 *
 * @param {Session} one
 * @param {Session} other
 */
export function sameRights(one, other) {
  return one.role === other.role && one.branches.join() === other.branches.join();
}
