// How a task's state and reading look, the same on both pages.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { has, percent, t, word } from "./texts.js";

/**
 * A reading sewn in like a care label: each garment with its count and how sure the reader is.
 *
 * @param {Guess[]} labels
 * @param {{title: string, sure?: boolean}} options
 */
export function careLabel(labels, { title, sure = true }) {
  return h(
    "div",
    { class: "care-label", "data-sure": String(sure) },
    h("p", { class: "care-title" }, title),
    h(
      "ul",
      {},
      labels.map((each) =>
        h(
          "li",
          {},
          h("span", { class: "garment" }, word("label", each.label)),
          h("span", { class: "count" }, `× ${each.count ?? 1}`),
          each.confidence === undefined ? null : confidence(each.confidence),
        ),
      ),
    ),
  );
}

/** @param {number} share */
function confidence(share) {
  return h(
    "span",
    { class: "confidence" },
    h(
      "span",
      { class: "thread", "aria-hidden": "true" },
      h("span", { style: { "inline-size": `${Math.round(share * 100)}%` } }),
    ),
    h("span", {}, t("reading.confidence", { share: percent(share) })),
  );
}

/** @type {Record<string, {name: string, icon: string, tone: string}>} */
const STATES = {
  submitted: { name: "submitted", icon: "clock", tone: "calm" },
  read: { name: "read", icon: "eye", tone: "good" },
  review: { name: "review", icon: "eye", tone: "care" },
  multiple: { name: "multiple", icon: "eye", tone: "care" },
  unreadable: { name: "unreadable", icon: "eye", tone: "care" },
  confirmed: { name: "confirmed", icon: "check", tone: "good" },
};

/**
 * The state of a task as a person sees it.
 *
 * @param {Task} task
 */
export function stateOf(task) {
  return STATES[nameOf(task)] ?? STATES.submitted;
}

/** @param {Task} task */
function nameOf(task) {
  if (task.status !== "read" || !task.reading) return task.status;
  if (task.reading.multiple) return "multiple";
  return task.reading.needs_review ? "review" : "read";
}

/**
 * The state of a task in words; `forOwner`: said to who has to act on it.
 *
 * @param {Task} task
 */
export function stateLine(task, { forOwner = false } = {}) {
  const state = stateOf(task);
  const key = `state.${state.name}`;
  const words = forOwner && has(`${key}.owner`) ? t(`${key}.owner`) : t(key);
  return h("p", { class: "state", "data-tone": state.tone }, icon(state.icon), words);
}

/**
 * The labels that count now: what a person said, else the reader's best guess. A reading of one garment lists its
 * guesses best first, the others are what else it could be; one of several lists garments.
 *
 * @param {Task} task
 * @returns {Garment[]}
 */
export function labelsOf(task) {
  return task.confirmation?.labels ?? guessOf(task);
}

/**
 * @param {Task} task
 * @returns {Guess[]}
 */
export function guessOf(task) {
  return task.reading?.labels.slice(0, task.reading.multiple ? undefined : 1) ?? [];
}

/**
 * @param {Task} task
 * @returns {Guess[]}
 */
export function alternativesOf(task) {
  return task.reading?.multiple ? [] : (task.reading?.labels.slice(1) ?? []);
}
