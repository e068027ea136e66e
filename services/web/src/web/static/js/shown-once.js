// What is shown this once: a link or a secret, with a button to copy it.

import { h, say } from "./dom.js";
import { t } from "./texts.js";

let made = 0;

/**
 * A value in a field of its own, which can be copied.
 *
 * @param {string} name
 * @param {string} value
 */
export function copyable(name, value) {
  made += 1;
  const id = `shown-${made}`;
  const field = h("input", { id, type: "text", readonly: true, value });
  field.addEventListener("focus", () => field.select());
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      say(t("once.copied"));
      button.textContent = t("once.copied");
    } catch {
      // Without the right to write there, a person copies what is marked.
      field.focus();
    }
  };
  const button = h("button", { class: "secondary", type: "button", onclick: copy }, t("once.copy"));
  return h(
    "div",
    { class: "field copyable" },
    h("label", { for: id }, name),
    h("div", { class: "copy-row" }, field, button),
  );
}
