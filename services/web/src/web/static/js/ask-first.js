// The question before an act.

import { h } from "./dom.js";
import { t } from "./texts.js";

const LEAST_REASON = 10;

/**
 * Ask before an act. Resolves to null, or to {reason}; with `reason` (its label) one must be given.
 *
 * @param {{title: string, text: string, yes: string, no?: string, reason?: string | null}} words
 * @returns {Promise<{reason: string} | null>}
 */
export function askFirst({ title, text, yes, no = t("action.back"), reason = null }) {
  return new Promise((resolve) => {
    const field =
      reason && h("textarea", { id: "why", rows: 3, required: true, minlength: LEAST_REASON, maxlength: 500 });
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title" });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      h("p", {}, text),
      field && h("label", { for: "why" }, reason),
      field,
      h(
        "div",
        { class: "answers" },
        h("button", { class: "quiet", type: "button", onclick: () => dialog.close() }, no),
        h("button", { class: "primary", type: "submit" }, yes),
      ),
    );
    dialog.append(form);
    /** @type {{reason: string} | null} */
    let answer = null;
    form.addEventListener("submit", () => {
      answer = { reason: field ? field.value.trim() : "" };
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
