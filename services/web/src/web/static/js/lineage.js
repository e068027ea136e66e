// Where a model comes from: what its manifest tells of its making, in plain words as far as there are any.

import { h } from "./dom.js";
import { has, number, t, word } from "./texts.js";

const HASH = /^[0-9a-f]{32,}$/;
const SHOWN_OF_HASH = 12;
// A database gives keys in an order of its own; people first want to know what, from what and by which examples.
const ORDER = [
  "kind",
  "run_id",
  "base_version",
  "base_sha256",
  "started_from",
  "first_version",
  "first_sha256",
  "pull_towards_first",
  "branches_known",
  "examples_learnt",
  "examples_judging",
  "examples_left_out",
  "examples_sha256",
  "training_photos",
  "training_known",
  "most_photos",
  "holdout_sha256",
  "teacher",
  "teacher_sha256",
  "network",
  "network_of",
  "parameters",
  "view_size",
  "arithmetic",
  "rounding_gap",
  "epochs",
  "rate",
  "minutes",
  "threads",
  "plan",
  "remark",
];

/**
 * The lineage of a model as a part that opens, or null where none is told.
 *
 * @param {Model} model
 */
export function lineageOf({ version, lineage }) {
  const told = Object.keys(lineage ?? {}).filter((key) => lineage[key] !== null && lineage[key] !== "");
  const keys = told.sort((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
  if (!keys.length) return null;
  return h(
    "details",
    { "data-id": `${version} lineage` },
    h("summary", {}, t("models.lineage")),
    h(
      "dl",
      { class: "lineage" },
      keys.map((key) => entry(key, lineage[key])),
    ),
  );
}

/** @param {string} key */
function rank(key) {
  const place = ORDER.indexOf(key);
  return place < 0 ? ORDER.length : place;
}

/**
 * @param {string} key
 * @param {any} value
 */
function entry(key, value) {
  const name = has(`lineage.${key}`) ? t(`lineage.${key}`) : h("code", { lang: "en" }, breakable(key));
  return h("div", {}, h("dt", {}, name), h("dd", {}, key === "kind" ? word("run.kind", value) : shown(value)));
}

/**
 * A key that a narrow column breaks between its words.
 *
 * @param {string} key
 */
function breakable(key) {
  return key.split(/(?<=_)/).flatMap((part) => [part, h("wbr")]);
}

/**
 * @param {any} value
 * @returns {Node | string}
 */
function shown(value) {
  if (value === null) return "–";
  if (typeof value === "number") return number(value);
  if (typeof value === "object") return parts(value);
  const text = String(value);
  if (!HASH.test(text)) return h("span", { lang: "en" }, text);
  return h("code", { title: text }, `${text.slice(0, SHOWN_OF_HASH)}…`);
}

/**
 * What is inside of a value, a line each: "reason: count".
 *
 * @param {object} value
 */
function parts(value) {
  const inside = Object.entries(value);
  if (!inside.length) return t("lineage.nothing");
  const named = !Array.isArray(value);
  return h(
    "ul",
    {},
    inside.map(([key, each]) => h("li", {}, named && h("span", { lang: "en" }, `${key}: `), shown(each))),
  );
}
