// Where photos go in: the branch, a note, and the two ways to a photo.

import { h, put, say } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { photoPicker } from "./photo-picker.js";
import { TooLarge } from "./shrink.js";
import { t } from "./texts.js";
import { newKey } from "./upload-queue.js";

const BRANCH_KEY = "laundry.branch";
const TOGETHER_KEY = "laundry.together";
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
  #together = h("input", { type: "checkbox", checked: recall(TOGETHER_KEY) !== "no" });

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
      h("label", { class: "check" }, this.#together, h("span", {}, t("helper.together"))),
      this.#unkept,
      this.#unread,
      h(
        "div",
        { class: "shutter" },
        photoPicker({
          kind: "primary",
          icon: "camera",
          text: t("helper.take"),
          attributes: { capture: "environment" },
          onFiles: (files) => this.#addNew(files),
        }),
        photoPicker({
          kind: "secondary",
          icon: "album",
          text: t("helper.pick"),
          attributes: { multiple: true },
          onFiles: (files) => this.#addNew(files),
        }),
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

  /** @param {File[]} files */
  async #addNew(files) {
    const note = this.#note.value.trim();
    this.#note.value = "";
    // As it was chosen with these photos: taking many in takes a while, and what is changed meanwhile is for the next.
    const branchId = this.branch;
    const together = this.#together.checked;
    remember(TOGETHER_KEY, together ? "yes" : "no");
    const load = newKey();
    const all = await this.add(files, (file) =>
      this.queue.add(file, { branchId, note, loadId: together ? load : newKey() }),
    );
    // For when those that could not be read are chosen again.
    if (!all) this.#note.value ||= note;
  }

  /**
   * Take photos in, one after the other, and say which could not be. Resolves to whether all were.
   *
   * @param {File[]} files
   * @param {(file: File) => Promise<unknown>} how
   */
  async add(files, how) {
    /** @type {string[]} */
    const unread = [];
    /** @type {string[]} */
    const tooLarge = [];
    put(this.#unread);
    for (const [index, file] of files.entries()) {
      try {
        await how(file);
      } catch (error) {
        // Phones name many photos alike; the place among those chosen tells them apart.
        const name = files.length > 1 ? `${file.name} (${index + 1}/${files.length})` : file.name;
        (error instanceof TooLarge ? tooLarge : unread).push(name);
      }
    }
    const added = files.length - unread.length - tooLarge.length;
    if (added) say(t("helper.added", { count: added }));
    if (added === files.length) return true;
    const text = [
      unread.length > 0 && t("helper.unread", { names: unread.join(", ") }),
      tooLarge.length > 0 && t("helper.tooLarge", { names: tooLarge.join(", ") }),
      added > 0 && t("helper.unreadOthers", { count: added }),
    ];
    put(this.#unread, trouble({ text: text.filter(Boolean).join(" ") }));
    return false;
  }
}
