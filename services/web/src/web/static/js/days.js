// Calendar days as "2026-03-09", as the services count them. They have no time, so no time zone moves them.

const DAY_MS = 86400000;

/**
 * @param {string} day
 * @param {number} by days
 */
export function moved(day, by) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + by * DAY_MS).toISOString().slice(0, 10);
}

/**
 * All days from one to another; none if they are in the wrong order.
 *
 * @param {string} first
 * @param {string} last
 */
export function daysBetween(first, last) {
  const days = [];
  for (let day = first; day <= last; day = moved(day, 1)) days.push(day);
  return days;
}

/**
 * The day that it is now in a time zone.
 *
 * @param {number} now milliseconds since 1970
 * @param {string} timeZone
 */
export function todayIn(now, timeZone) {
  // Swedes write days as the services do.
  return new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short" }).format(new Date(now));
}
