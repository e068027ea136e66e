// What is kept of a person: as a file, and the end of it. The same for every role.

import { explain } from "./api.js";
import { askFirst } from "./ask-first.js";
import { h, put, say } from "./dom.js";
import { download } from "./download.js";
import { emptyState } from "./drawings.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

const PERSON = "/api/operations/people/me";
// Every service is asked in turn.
const EXPORT_MS = 120000;

export class PersonView {
  #said = h("div", { role: "status" });
  #body = h("div", { class: "person-body" });

  /** @param {SignedIn} signedIn */
  constructor({ api }) {
    this.api = api;
    this.element = h(
      "section",
      { class: "person", "aria-labelledby": "person-title" },
      h("h1", { id: "person-title" }, t("person.title")),
      this.#body,
      this.#said,
    );
    this.#offer();
    this.ready = this.#look();
  }

  get title() {
    return t("person.documentTitle");
  }

  close() {
    // Nothing is open.
  }

  #offer() {
    put(
      this.#body,
      h("h2", {}, t("person.export")),
      h("p", {}, t("person.exportText")),
      h(
        "button",
        { class: "secondary", type: "button", onclick: (/** @type {Event} */ event) => this.#export(event) },
        icon("down"),
        t("person.exportDo"),
      ),
      h("h2", {}, t("person.erase")),
      h("p", {}, t("person.eraseText")),
      h(
        "button",
        { class: "secondary danger", type: "button", onclick: () => this.#erase() },
        icon("bin"),
        t("person.eraseDo"),
      ),
    );
  }

  /** Who asked before finds it under way. */
  async #look() {
    try {
      this.#showErasure(await this.api.json(`${PERSON}/erasure`));
    } catch {
      // None is, or nobody can be asked: the button says what is wrong.
    }
  }

  /** @param {Event} event */
  async #export(event) {
    const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
    button.disabled = true;
    put(this.#said, h("p", { class: "loading" }, t("person.exporting")));
    try {
      const response = await this.api.fetch(`${PERSON}/export`, { cache: "no-store", timeoutMs: EXPORT_MS });
      download(t("person.file"), await response.blob());
      put(this.#said, h("p", { class: "state", "data-tone": "good" }, icon("check"), t("person.exported")));
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
    } finally {
      button.disabled = false;
    }
  }

  async #erase() {
    const sure = await askFirst({
      title: t("person.sure"),
      text: t("person.sureText"),
      yes: t("person.sureYes"),
      no: t("person.sureNo"),
    });
    if (!sure) return;
    try {
      const erasure = await this.api.json(`${PERSON}/erasure`, { method: "POST", json: { confirm: "erase" } });
      this.#showErasure(erasure);
      say(t("person.erasing"), { urgent: true });
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
    }
  }

  /** @param {{state: string}} erasure */
  #showErasure({ state }) {
    put(this.#said);
    put(
      this.#body,
      state === "completed"
        ? emptyState("door", t("person.erased"), t("person.erasedText"))
        : emptyState("door", t("person.erasing"), t("person.erasingText")),
    );
  }
}
