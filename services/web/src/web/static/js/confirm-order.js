// What an owner sees of what waits, and in which order.

import { recall } from "./kept.js";
import { together } from "./together.js";

/** @typedef {{branch: string, unsureFirst: boolean}} Filter no branch is all of them */

/** @type {Filter} */
const DEFAULTS = { branch: "", unsureFirst: true };
export const FILTER_KEY = "laundry.confirm-filter";

/**
 * What is shown, first things first: those that need a person before those that the reader is sure of, if that is
 * wanted, and then the longest waiting; photos of a load together.
 *
 * @param {Task[]} tasks
 * @param {Filter} filter
 */
export function ordered(tasks, { branch, unsureFirst }) {
  /** @param {Task} task */
  const sure = (task) => (unsureFirst && task.reading && !task.reading.needs_review ? 1 : 0);
  /** @param {Task} task */
  const rank = (task) => `${sure(task)} ${task.submitted_at} ${task.id}`;
  const shown = tasks.filter((task) => !branch || task.branch_id === branch);
  return together(shown.sort((a, b) => (rank(a) < rank(b) ? -1 : 1)));
}

/**
 * The filter of this person's last visit, as far as it still makes sense.
 *
 * @param {Session} session
 */
export function keptFilter({ sub, branches }) {
  try {
    const kept = JSON.parse(recall(`${FILTER_KEY}.${sub}`) ?? "{}");
    return {
      branch: branches.length > 1 && branches.includes(kept.branch) ? kept.branch : DEFAULTS.branch,
      unsureFirst: typeof kept.unsureFirst === "boolean" ? kept.unsureFirst : DEFAULTS.unsureFirst,
    };
  } catch {
    return { ...DEFAULTS };
  }
}
