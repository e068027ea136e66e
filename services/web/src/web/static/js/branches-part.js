// The operator's branches: made, and given other names.

import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { isFocusLost, once } from "./once.js";
import { PagedList } from "./paged-list.js";
import { t } from "./texts.js";

const PATH = "/api/identity/branches";
const LONGEST_NAME = 100;

export class BranchesPart {
  #said = h("div", {});
  #list;

  /**
   * `onChange()` is called after a branch was made or renamed.
   *
   * @param {import("./api.js").Api} api
   * @param {() => void} onChange
   */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    this.#list = new PagedList(api, PATH, {
      name: t("people.branches"),
      row: (branch) => this.#row(branch),
      empty: () => emptyState("door", t("branches.none"), t("branches.noneText")),
    });
    const id = h("input", {
      id: "branch-id",
      type: "text",
      required: true,
      maxlength: 40,
      pattern: "[a-z0-9\\-]+",
      autocapitalize: "none",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "branch-id-hint",
    });
    const korean = nameField("branch-ko", "");
    const english = nameField("branch-en", "");
    const add = h("button", { class: "primary", type: "submit" }, icon("plus"), t("branches.add"));
    const make = async () => {
      const json = { id: id.value.trim(), name_ko: korean.value, name_en: english.value };
      if (!(await this.#send(PATH, "POST", json, t("branches.sayMade")))) return;
      for (const field of [id, korean, english]) field.value = "";
      await this.#list.load();
    };
    const send = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      once(add, make);
    };
    this.element = h(
      "div",
      {},
      this.#said,
      h(
        "form",
        { class: "invite", onsubmit: send },
        h(
          "div",
          { class: "field" },
          h("label", { for: "branch-id" }, t("branches.id")),
          id,
          h("p", { class: "hint", id: "branch-id-hint" }, t("branches.idHint")),
        ),
        h("div", { class: "field" }, h("label", { for: "branch-ko" }, t("branches.korean")), korean),
        h("div", { class: "field" }, h("label", { for: "branch-en" }, t("branches.english")), english),
        add,
      ),
      this.#list.element,
    );
    this.ready = this.#list.load();
  }

  /** @param {Branch} branch */
  #row(branch) {
    const row = h("li", { class: "entry" });
    const show = () =>
      put(
        row,
        h(
          "div",
          {},
          h("p", {}, h("strong", {}, branch.name_ko), ` · ${branch.name_en}`),
          h("p", { class: "meta" }, h("code", {}, branch.id)),
        ),
        h(
          "button",
          { class: "secondary", type: "button", "aria-label": `${t("branches.rename")} ${branch.id}`, onclick: edit },
          icon("pencil"),
          t("branches.rename"),
        ),
      );
    const showAgain = () => {
      show();
      if (isFocusLost()) row.querySelector("button")?.focus();
    };
    const edit = () => {
      const korean = nameField(`${branch.id}-ko`, branch.name_ko);
      const english = nameField(`${branch.id}-en`, branch.name_en);
      const save = h("button", { class: "primary", type: "submit" }, t("branches.save"));
      const rename = async () => {
        const json = { name_ko: korean.value, name_en: english.value };
        const path = `${PATH}/${encodeURIComponent(branch.id)}`;
        const renamed = await this.#send(path, "PATCH", json, t("branches.sayRenamed"));
        if (!renamed) return;
        Object.assign(branch, renamed);
        showAgain();
      };
      const send = (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        once(save, rename);
      };
      put(
        row,
        h(
          "form",
          { class: "invite", onsubmit: send },
          h("div", { class: "field" }, h("label", { for: korean.id }, t("branches.korean")), korean),
          h("div", { class: "field" }, h("label", { for: english.id }, t("branches.english")), english),
          h(
            "div",
            { class: "answers" },
            h("button", { class: "quiet", type: "button", onclick: showAgain }, t("action.back")),
            save,
          ),
        ),
      );
      korean.focus();
    };
    show();
    return row;
  }

  /**
   * Ask for a branch, made or changed. Returns it, or null after a refusal.
   *
   * @param {string} path
   * @param {string} method
   * @param {object} json
   * @param {string} done
   * @returns {Promise<Branch | null>}
   */
  async #send(path, method, json, done) {
    try {
      const branch = await this.api.json(path, { method, json });
      put(this.#said);
      say(done);
      this.onChange();
      return branch;
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
      return null;
    }
  }
}

/**
 * @param {string} id
 * @param {string} value
 */
function nameField(id, value) {
  return h("input", { id, type: "text", required: true, maxlength: LONGEST_NAME, autocomplete: "off", value });
}
