// The operator's page of equipment: which machines have a credential; a secret is shown once.

import { explain } from "./api.js";
import { askFirst } from "./ask-first.js";
import { allBranches, nameOfBranch, namesOf } from "./branch-names.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { once } from "./once.js";
import { PagedList } from "./paged-list.js";
import { copyable } from "./shown-once.js";
import { ago, t } from "./texts.js";

const PATH = "/api/identity/equipment-credentials";

export class CredentialsPage {
  /** @type {Map<string, Branch>} */
  #branches = new Map();
  #stage = h("div", {});
  #result = h("div", {});
  #list;
  #closed = false;

  /** @param {SignedIn} signedIn */
  constructor({ api }) {
    this.api = api;
    this.#list = new PagedList(api, PATH, {
      name: t("credentials.list"),
      row: (credential) => this.#row(credential),
      empty: () => emptyState("machine", t("credentials.none"), t("credentials.noneText")),
    });
    this.element = h(
      "div",
      { class: "people" },
      h("h1", {}, t("credentials.title")),
      h("p", { class: "hint" }, t("credentials.text")),
      this.#stage,
    );
    this.ready = this.#start();
  }

  close() {
    this.#closed = true;
    this.#list.close();
  }

  async #start() {
    try {
      this.#branches = await allBranches(this.api);
    } catch (problem) {
      if (this.#closed) return;
      showTrouble(this.#stage, problem, () => this.#start());
      return;
    }
    if (this.#closed) return;
    put(this.#stage, this.#form(), this.#result, this.#list.element);
    await this.#list.load();
  }

  #form() {
    const name = h("input", {
      id: "equipment-id",
      type: "text",
      required: true,
      maxlength: 64,
      pattern: "[A-Za-z0-9][A-Za-z0-9_:\\-]*",
      autocapitalize: "none",
      autocomplete: "off",
      spellcheck: "false",
    });
    const branch = h(
      "select",
      { id: "equipment-branch", required: true },
      [...this.#branches.values()].map((each) => h("option", { value: each.id }, nameOfBranch(each))),
    );
    const add = h("button", { class: "primary", type: "submit" }, icon("plus"), t("credentials.add"));
    const make = async () => {
      const json = { equipment_id: name.value.trim(), branch_id: branch.value };
      if (await this.#ask(PATH, { method: "POST", json })) name.value = "";
    };
    const send = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      once(add, make);
    };
    return h(
      "form",
      { class: "invite", onsubmit: send },
      h("div", { class: "field" }, h("label", { for: "equipment-id" }, t("credentials.equipment")), name),
      h(
        "div",
        { class: "field" },
        h("label", { for: "equipment-branch" }, t("credentials.branch")),
        h("div", { class: "choice" }, branch),
      ),
      add,
    );
  }

  /** @param {MachineCredential} credential */
  #row(credential) {
    const { id, equipment_id: equipment, branch_id: branch } = credential;
    return h(
      "li",
      { class: "entry" },
      h(
        "div",
        {},
        h("p", {}, h("strong", {}, equipment), ` · ${namesOf([branch], this.#branches)}`),
        h(
          "p",
          { class: "meta" },
          t("credentials.since", { when: ago(credential.rotated_at ?? credential.created_at) }),
        ),
      ),
      h(
        "div",
        { class: "entry-actions" },
        h(
          "button",
          {
            class: "secondary",
            type: "button",
            "aria-label": `${t("credentials.rotate")} ${equipment}`,
            onclick: ({ currentTarget }) => once(currentTarget, () => this.#rotate(id, equipment)),
          },
          icon("retry"),
          t("credentials.rotate"),
        ),
        h(
          "button",
          {
            class: "secondary danger",
            type: "button",
            "aria-label": `${t("credentials.revoke")} ${equipment}`,
            onclick: ({ currentTarget }) => once(currentTarget, () => this.#revoke(id, equipment)),
          },
          t("credentials.revoke"),
        ),
      ),
    );
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  async #rotate(id, name) {
    const title = t("credentials.rotateAsk", { name });
    if (await askFirst({ title, text: t("credentials.rotateText"), yes: t("credentials.rotate") }))
      await this.#ask(`${PATH}/${id}/rotation`, { method: "POST" });
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  async #revoke(id, name) {
    const title = t("credentials.revokeAsk", { name });
    if (!(await askFirst({ title, text: t("credentials.revokeText"), yes: t("credentials.revoke") }))) return;
    try {
      await this.api.fetch(`${PATH}/${id}`, { method: "DELETE" });
      // The secret of another may not have been copied yet.
      this.#clear(`.trouble, [data-credential="${id}"]`);
      say(t("credentials.sayRevoked", { name }));
    } catch (problem) {
      this.#complain(problem);
    }
    await this.#list.load();
  }

  /**
   * Ask for a new secret and show it. Returns whether there is one.
   *
   * @param {string} path
   * @param {{method: string, json?: object}} options
   */
  async #ask(path, options) {
    try {
      const made = await this.api.json(path, options);
      const card = h(
        "div",
        { class: "invited", tabindex: "-1", "data-credential": made.id },
        h("p", {}, h("strong", {}, t("credentials.once", { name: made.equipment_id }))),
        copyable(t("credentials.clientId"), made.client_id),
        copyable(t("credentials.secret"), made.client_secret),
        copyable(t("credentials.tokenUrl"), made.token_url),
      );
      put(this.#result, card);
      card.focus();
      await this.#list.load();
      return true;
    } catch (problem) {
      this.#complain(problem);
      return false;
    }
  }

  /** @param {import("./api.js").Problem} problem */
  #complain(problem) {
    this.#clear(".trouble");
    this.#result.prepend(trouble(explain(problem)));
    this.#result.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} what */
  #clear(what) {
    for (const part of this.#result.querySelectorAll(what)) part.remove();
  }
}
