// The start page, for whoever is not signed in.

import { h, say } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

/**
 * The page of who is not signed in: `notice` says why somebody is here again, `ways` are the addresses to sign in at.
 *
 * @param {{notice: string, ways: Array<{provider: string, address: string}>, newTab: boolean,
 *   onSignIn(event: MouseEvent): void}} options `newTab`: this page keeps what would be lost if it was left
 */
export function startPage({ notice, ways, newTab, onSignIn }) {
  const staff = ways.filter(({ provider }) => provider !== "customers");
  const customers = ways.filter(({ provider }) => provider === "customers");
  if (notice) say(notice);
  return h(
    "div",
    { class: "start" },
    notice && h("p", { class: "notice" }, icon("clock"), h("span", {}, notice)),
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
      "section",
      { class: "sign-in", "aria-labelledby": "sign-in-title" },
      h("h2", { id: "sign-in-title" }, t("start.signIn")),
      h("p", {}, t(ways.length ? "start.signInText" : "start.noWay")),
      staff.map(({ address }) => link(address, "primary", t("start.signIn"))),
      customers.map(({ address }) => link(address, staff.length ? "secondary" : "primary", t("start.customers"))),
    ),
  );

  /**
   * @param {string} address
   * @param {string} look
   * @param {string} text
   */
  function link(address, look, text) {
    const blank = newTab ? { target: "_blank", rel: "noopener" } : {};
    return h("a", { class: `button ${look}`, href: address, onclick: onSignIn, ...blank }, text);
  }
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
