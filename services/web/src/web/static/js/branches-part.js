// The operator's branches: made, and given other names.

import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
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
    const send = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const json = { id: id.value.trim(), name_ko: korean.value, name_en: english.value };
      this.#send(PATH, "POST", json, t("branches.sayMade"));
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
        h("button", { class: "primary", type: "submit" }, icon("plus"), t("branches.add")),
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
    const edit = () => {
      const korean = nameField(`${branch.id}-ko`, branch.name_ko);
      const english = nameField(`${branch.id}-en`, branch.name_en);
      const send = (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        const json = { name_ko: korean.value, name_en: english.value };
        this.#send(`${PATH}/${encodeURIComponent(branch.id)}`, "PATCH", json, t("branches.sayRenamed"));
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
            h("button", { class: "quiet", type: "button", onclick: show }, t("action.back")),
            h("button", { class: "primary", type: "submit" }, t("branches.save")),
          ),
        ),
      );
      korean.focus();
    };
    show();
    return row;
  }

  /**
   * @param {string} path
   * @param {string} method
   * @param {object} json
   * @param {string} done
   */
  async #send(path, method, json, done) {
    try {
      await this.api.json(path, { method, json });
      say(done);
      this.onChange();
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
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
