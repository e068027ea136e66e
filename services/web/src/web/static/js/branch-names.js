// The branches by name: of all that the signed-in person may see.

import { language } from "./texts.js";

const PATH = "/api/identity/branches";
const PAGE = 200;
const MOST_PAGES = 50;

/** @param {Branch} branch */
export function nameOfBranch(branch) {
  return language() === "ko" ? branch.name_ko : branch.name_en;
}

/**
 * Fetch all branches.
 *
 * @param {import("./api.js").Api} api
 * @returns {Promise<Map<string, Branch>>}
 */
export async function allBranches(api) {
  /** @type {Map<string, Branch>} */
  const found = new Map();
  let cursor = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { items, next } = await api.page(PATH, { limit: PAGE, cursor });
    for (const branch of items) found.set(branch.id, branch);
    cursor = next;
    if (!next) break;
  }
  return found;
}

/**
 * "Gangnam 1, Mapo 2"; a branch that is not known by its id.
 *
 * @param {string[]} ids
 * @param {Map<string, Branch>} branches
 */
export function namesOf(ids, branches) {
  return ids
    .map((id) => {
      const branch = branches.get(id);
      return branch ? nameOfBranch(branch) : id;
    })
    .join(", ");
}
