// Keys for who confirms at a desk. Letters are told by where they are: with a Korean keyboard Y is ㅛ. They can be
// turned off, since a voice or a shaking hand may press them unasked (WCAG 2.1.4).

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { t } from "./texts.js";

const KEY = "laundry.shortcuts";
const UNDO_KEY = "laundry.undo-s";
// The longest is over ten times the shortest, for who needs more time (WCAG 2.2.1).
const UNDO_CHOICES_S = [10, 30, 120];

/** What there is, in the order of the help: the action, and the keys as they are shown. */
export const SHORTCUTS = [
  ["confirm", ["Y"]],
  ["correct", ["E"]],
  ["choose", ["1", "…", "0"]],
  ["back", ["Esc"]],
  ["next", ["J", "→"]],
  ["previous", ["K", "←"]],
  ["undo", ["U"]],
  ["help", ["?"]],
];

/** @type {Record<string, string>} */
const BY_CODE = {
  KeyY: "confirm",
  KeyE: "correct",
  Escape: "back",
  KeyJ: "next",
  ArrowRight: "next",
  KeyK: "previous",
  ArrowLeft: "previous",
  KeyU: "undo",
};

/**
 * What a key asks for, or null; digits are `choose` with a `number` from 1 to 10, which is 0.
 *
 * @param {{code: string, key: string, ctrlKey?: boolean, altKey?: boolean, metaKey?: boolean, shiftKey?: boolean,
 *   repeat?: boolean}} event
 * @returns {{action: string, number?: number} | null}
 */
export function actionOf({ code, key, ctrlKey, altKey, metaKey, shiftKey, repeat }) {
  if (ctrlKey || altKey || metaKey) return null;
  if (key === "?" || (code === "Slash" && shiftKey)) return { action: "help" };
  if (shiftKey) return null;
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(code);
  if (digit) return repeat ? null : { action: "choose", number: Number(digit[1]) || 10 };
  const action = BY_CODE[code];
  // A key that is held down must not confirm one after the other.
  return action && (!repeat || ["next", "previous"].includes(action)) ? { action } : null;
}

export function shortcutsOn() {
  return recall(KEY) !== "off";
}

/** For how many seconds a confirmation can be taken back. */
export function undoSeconds() {
  const kept = Number(recall(UNDO_KEY));
  return UNDO_CHOICES_S.includes(kept) ? kept : UNDO_CHOICES_S[0];
}

/**
 * Call `onAction(action, number)` for keys that are not meant for a field, until `signal` ends it.
 *
 * @param {(action: string, number?: number) => boolean | undefined} onAction returns whether the key was used
 * @param {AbortSignal} signal
 */
export function listenForShortcuts(onAction, signal) {
  document.addEventListener(
    "keydown",
    (event) => {
      const at = event.target instanceof Element ? event.target : null;
      if (event.defaultPrevented || at?.closest("input, textarea, select, dialog") || document.querySelector("dialog"))
        return;
      const asked = actionOf(event);
      if (!asked || (!shortcutsOn() && asked.action !== "help")) return;
      if (onAction(asked.action, asked.number)) event.preventDefault();
    },
    { signal },
  );
}

/** Show the keys, and what can be set about them. */
export function showShortcuts() {
  const on = h("button", { class: "chip", type: "button", "aria-pressed": String(shortcutsOn()) }, t("shortcuts.on"));
  on.addEventListener("click", () => {
    remember(KEY, shortcutsOn() ? "off" : "on");
    on.setAttribute("aria-pressed", String(shortcutsOn()));
  });
  const undo = h(
    "select",
    { id: "undo-s" },
    UNDO_CHOICES_S.map((seconds) =>
      h(
        "option",
        { value: seconds, selected: seconds === undoSeconds() },
        t("shortcuts.undoSeconds", { count: seconds }),
      ),
    ),
  );
  undo.addEventListener("change", () => remember(UNDO_KEY, undo.value));
  const dialog = h("dialog", { class: "ask shortcuts", "aria-labelledby": "shortcuts-title" });
  dialog.append(
    h("h2", { id: "shortcuts-title" }, t("shortcuts.title")),
    h(
      "dl",
      {},
      SHORTCUTS.flatMap(([action, keys]) => [
        h(
          "dt",
          {},
          [...keys].map((key) => (key === "…" ? " … " : h("kbd", {}, key))),
        ),
        h("dd", {}, t(`shortcuts.${action}`)),
      ]),
    ),
    h("p", {}, t("shortcuts.swipe")),
    on,
    h("label", { for: "undo-s" }, t("shortcuts.undoFor")),
    undo,
    h(
      "div",
      { class: "answers" },
      h(
        "button",
        { class: "primary", type: "button", onclick: () => dialog.close() },
        icon("check"),
        t("alerts.gotIt"),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
