// The start page, for whoever is not signed in.

import { h, say } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

/**
 * The page of who is not signed in: `notice` is a text key for why somebody is here again, `onToken(text)` returns
 * whether it was a token.
 *
 * @param {{notice: string | undefined, noticeValues: Values, onToken(text: string): boolean}} options
 */
export function startPage({ notice, noticeValues, onToken }) {
  const field = h("textarea", {
    id: "token",
    name: "token",
    rows: 3,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    "aria-describedby": "token-help token-error",
    placeholder: "eyJ…",
  });
  const error = h("p", { class: "field-error", id: "token-error", role: "alert" });

  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    if (onToken(field.value)) return;
    error.textContent = t("start.badToken");
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  if (notice) say(t(notice, noticeValues));
  return h(
    "div",
    { class: "start" },
    notice && h("p", { class: "notice" }, icon("clock"), h("span", {}, t(notice, noticeValues))),
    h(
      "section",
      { class: "welcome" },
      h("h1", {}, t("start.title")),
      h("p", { class: "lead" }, t("start.lead")),
      h(
        "ul",
        { class: "roles" },
        h("li", {}, icon("camera"), h("div", {}, h("h2", {}, t("start.helper")), h("p", {}, t("start.helperText")))),
        h("li", {}, icon("check"), h("div", {}, h("h2", {}, t("start.owner")), h("p", {}, t("start.ownerText")))),
        h("li", {}, icon("heart"), h("div", {}, h("h2", {}, t("start.customer")), h("p", {}, t("start.customerText")))),
        h("li", {}, icon("alert"), h("div", {}, h("h2", {}, t("start.operator")), h("p", {}, t("start.operatorText")))),
      ),
    ),
    h(
      "form",
      { class: "sign-in", onsubmit: submit },
      h("h2", {}, t("start.signIn")),
      h("p", { id: "token-help" }, t("start.signInText")),
      h("label", { for: "token" }, t("start.token")),
      field,
      error,
      h("button", { class: "primary", type: "submit" }, t("start.go")),
      h("p", { class: "hint" }, t("start.local"), h("code", {}, "laundry token --role helper --branch b1")),
    ),
  );
}

/**
 * For a role that has no page.
 *
 * @param {{session: Session, onSignOut(): void}} options
 */
export function noPage({ session, onSignOut }) {
  return h(
    "div",
    { class: "start" },
    h(
      "section",
      { class: "welcome" },
      h("h1", {}, t("start.noPage")),
      h("p", { class: "lead" }, t("start.noPageText", { role: session.role })),
      h("button", { class: "primary", type: "button", onclick: onSignOut }, t("frame.signOut")),
    ),
  );
}
