// What a customer likes, as steps that people can tell apart; the services know weights from 0 to 1.

import { language, word } from "./texts.js";

/** The steps, from little to much. */
export const LEVELS = [
  { name: "some", weight: 0.3 },
  { name: "good", weight: 0.6 },
  { name: "much", weight: 1 },
];
/** What a tag that was just chosen weighs. */
export const CHOSEN = 0.6;

/**
 * The step that is nearest to a weight.
 *
 * @param {number} weight
 */
export function levelOf(weight) {
  return LEVELS.reduce((best, level) =>
    Math.abs(level.weight - weight) < Math.abs(best.weight - weight) ? level : best,
  );
}

/**
 * A tag in words: those of the catalogue, else its own.
 *
 * @param {string} name
 * @param {Map<string, TagWords>} catalogue
 */
export function tagName(name, catalogue) {
  const known = catalogue.get(name);
  const words = language() === "ko" ? known?.ko : known?.en;
  return words ?? word("tag", name).replaceAll("-", " ");
}

/**
 * The tags by group, as they are offered: the catalogue's groups in its order, then what branches made up, then what
 * only this customer has.
 *
 * @param {TagWords[]} tags
 * @param {Record<string, number>} taste
 * @returns {Array<{group: string, tags: string[]}>}
 */
export function offered(tags, taste) {
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  const known = new Set(tags.map(({ tag }) => tag));
  const own = Object.keys(taste).filter((tag) => !known.has(tag));
  for (const { tag, group } of [...tags, ...own.map((tag) => ({ tag, group: null }))]) {
    const name = group ?? "other";
    groups.set(name, [...(groups.get(name) ?? []), tag]);
  }
  return [...groups].map(([group, names]) => ({ group, tags: names }));
}
