// Choosing tags, and how much of each: what a customer likes, and what a branch is like.

import { h, put } from "./dom.js";
import { CHOSEN, LEVELS, levelOf, offered, tagName } from "./taste.js";
import { has, t } from "./texts.js";

export class TagChooser {
  /** @type {Record<string, number>} */
  weights = {};
  /** @type {TagWords[]} */
  #tags = [];
  /** @type {Map<string, TagWords>} */
  #catalogue = new Map();
  choices = h("div", { class: "tastes" });
  chosen = h("ul", { class: "chosen" });

  /**
   * `levels` is the key before the names of the steps; `onChange()` is called when somebody chose.
   *
   * @param {{levels: string, none: string, onChange(): void}} options
   */
  constructor({ levels, none, onChange }) {
    this.levels = levels;
    this.none = none;
    this.onChange = onChange;
  }

  /**
   * Show the tags that there are, and those that are chosen.
   *
   * @param {TagWords[]} tags
   * @param {Record<string, number>} weights
   */
  show(tags, weights) {
    this.#tags = tags;
    this.#catalogue = new Map(tags.map((each) => [each.tag, each]));
    this.weights = { ...weights };
    this.#draw();
  }

  /**
   * Choose a tag that may be none of those shown.
   *
   * @param {string} tag
   */
  add(tag) {
    this.weights[tag] ??= CHOSEN;
    this.#draw();
    this.onChange();
  }

  /** Choose nothing. */
  clear() {
    this.weights = {};
    this.#draw();
  }

  get isEmpty() {
    return !Object.keys(this.weights).length;
  }

  /**
   * The words for a tag.
   *
   * @param {string} tag
   */
  nameOf(tag) {
    return tagName(tag, this.#catalogue);
  }

  #draw() {
    put(
      this.choices,
      offered(this.#tags, this.weights).map(({ group, tags }) =>
        h(
          "div",
          { class: "taste-group" },
          h("p", { class: "ask", id: `tags-${group}` }, t(has(`tags.${group}`) ? `tags.${group}` : "tags.other")),
          h(
            "div",
            { class: "chips", role: "group", "aria-labelledby": `tags-${group}` },
            tags.map((tag) => this.#chip(tag)),
          ),
        ),
      ),
    );
    this.#drawChosen();
  }

  /** @param {string} tag */
  #chip(tag) {
    const chip = h(
      "button",
      { class: "chip", type: "button", "data-tag": tag, "aria-pressed": String(tag in this.weights) },
      this.nameOf(tag),
    );
    chip.addEventListener("click", () => {
      if (tag in this.weights) delete this.weights[tag];
      else this.weights[tag] = CHOSEN;
      chip.setAttribute("aria-pressed", String(tag in this.weights));
      this.#drawChosen();
      this.onChange();
    });
    return chip;
  }

  #drawChosen() {
    const tags = Object.keys(this.weights);
    put(
      this.chosen,
      tags.map((tag) => this.#chosenRow(tag)),
      !tags.length && h("li", { class: "nothing" }, t(this.none)),
    );
  }

  /** @param {string} tag */
  #chosenRow(tag) {
    const name = this.nameOf(tag);
    const level = levelOf(this.weights[tag]);
    const select = h(
      "select",
      { "aria-label": t("taste.howMuch", { tag: name }) },
      LEVELS.map((each) =>
        h("option", { value: each.name, selected: each === level }, t(`${this.levels}.${each.name}`)),
      ),
    );
    select.addEventListener("change", () => {
      this.weights[tag] = LEVELS.find(({ name: each }) => each === select.value)?.weight ?? CHOSEN;
      this.onChange();
    });
    return h("li", {}, h("span", { class: "garment" }, name), select);
  }
}
