// The time as the services have it: a phone's clock may be hours off, and what is shown as "5 minutes ago" is theirs.

let aheadMs = 0;

/**
 * Take the `Date` of an answer that came just now; it is true to a second.
 *
 * @param {string | null} date
 */
export function setClock(date) {
  const theirs = Date.parse(date ?? "");
  if (Number.isFinite(theirs)) aheadMs = theirs - Date.now();
}

/** Milliseconds since 1970, by the services' clock as soon as one has answered. */
export function now() {
  return Date.now() + aheadMs;
}
