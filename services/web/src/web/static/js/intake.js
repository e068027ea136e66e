// Where photos go in: the branch, a note, and the two ways to a photo.

import { h, put, say } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { t } from "./texts.js";

// Any: the service names what it does not take. An iPhone asked for "image/*" sends its HEIC as JPEG, of less work.
const ACCEPT = "image/*";
const BRANCH_KEY = "laundry.branch";
/** @type {Unkept[]} */
const UNKEPT = ["no-room", "no-store"];

export class Intake {
  #unkept = h("div", {});
  #unread = h("div", {});
  #note = h("input", {
    id: "note",
    type: "text",
    maxlength: 500,
    autocomplete: "off",
    placeholder: t("helper.notePlaceholder"),
  });

  /**
   * @param {Session} session
   * @param {import("./upload-queue.js").UploadQueue} queue
   */
  constructor({ branches }, queue) {
    this.queue = queue;
    const kept = recall(BRANCH_KEY);
    this.branch = kept !== null && branches.includes(kept) ? kept : (branches[0] ?? "");
    this.element = h(
      "section",
      { class: "intake", "aria-labelledby": "intake-title" },
      h(
        "div",
        { class: "intake-head" },
        h("h1", { id: "intake-title" }, t("helper.title")),
        branches.length === 1 && h("p", { class: "lead-branch" }, t("helper.oneBranch", { branch: this.branch })),
      ),
      ...(branches.length ? this.#form(branches) : [trouble({ text: t("helper.noBranch") })]),
    );
  }

  /** Say whether a photo is only in memory, and why. */
  showUnkept() {
    const reasons = this.queue.items.map((item) => item.unkept);
    const reason = UNKEPT.find((each) => reasons.includes(each));
    put(this.#unkept, reason && h("p", { class: "notice" }, icon("alert"), h("span", {}, t(`helper.${reason}`))));
  }

  /** @param {string[]} branches */
  #form(branches) {
    return [
      branches.length > 1 &&
        h(
          "div",
          { class: "field" },
          h("label", { for: "branch" }, t("helper.branch")),
          h("div", { class: "choice" }, this.#branchChoice(branches)),
        ),
      h("div", { class: "field" }, h("label", { for: "note" }, t("helper.note")), this.#note),
      this.#unkept,
      this.#unread,
      h(
        "div",
        { class: "shutter" },
        this.#picker("primary", "camera", t("helper.take"), { capture: "environment" }),
        this.#picker("secondary", "album", t("helper.pick"), { multiple: true }),
      ),
    ];
  }

  /** @param {string[]} branches */
  #branchChoice(branches) {
    const choice = h(
      "select",
      { id: "branch" },
      branches.map((name) => h("option", { value: name, selected: name === this.branch }, name)),
    );
    choice.addEventListener("change", () => {
      this.branch = choice.value;
      remember(BRANCH_KEY, this.branch);
    });
    return choice;
  }

  /**
   * @param {string} kind
   * @param {string} name
   * @param {string} text
   * @param {Attributes} attributes
   */
  #picker(kind, name, text, attributes) {
    const input = h("input", { type: "file", accept: ACCEPT, class: "unseen", ...attributes });
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      this.#add(files);
    });
    return h("label", { class: `button ${kind}` }, input, icon(name), h("span", {}, text));
  }

  /** @param {File[]} files */
  async #add(files) {
    const note = this.#note.value.trim();
    const branchId = this.branch;
    const unread = [];
    this.#note.value = "";
    put(this.#unread);
    for (const [index, file] of files.entries()) {
      try {
        await this.queue.add(file, { branchId, note });
      } catch {
        // Phones name many photos alike; the place among those chosen tells them apart.
        unread.push(files.length > 1 ? `${file.name} (${index + 1}/${files.length})` : file.name);
      }
    }
    const added = files.length - unread.length;
    if (added) say(t("helper.added", { count: added }));
    if (!unread.length) return;
    // For when they are chosen again.
    this.#note.value ||= note;
    const others = added > 0 && t("helper.unreadOthers", { count: added });
    const text = [t("helper.unread", { names: unread.join(", ") }), others].filter(Boolean).join(" ");
    put(this.#unread, trouble({ text }));
  }
}
