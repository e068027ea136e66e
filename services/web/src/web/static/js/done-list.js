// What the owner confirmed just now.

import { h, put } from "./dom.js";
import { icon } from "./icons.js";
import { labelsOf } from "./reading.js";
import { counted, t } from "./texts.js";

const SHOWN = 5;

export class DoneList {
  /** @type {Task[]} */
  #done = [];
  /** Above the next card, where the eyes are. */
  latest = h("div", { class: "done last" });
  /** The ones before it, for below. */
  before = h("ol", { class: "done" });

  /** @param {import("./photos.js").Photos} photos */
  constructor(photos) {
    this.photos = photos;
  }

  /** @param {Task} task */
  add(task) {
    this.#done = [task, ...this.#done.filter((other) => other.id !== task.id)].slice(0, SHOWN);
    this.#draw();
  }

  /** @param {string} id */
  remove(id) {
    if (!this.#done.some((task) => task.id === id)) return;
    this.#done = this.#done.filter((task) => task.id !== id);
    this.#draw();
  }

  /**
   * Say something of the latest, below it, instead of what was said before.
   *
   * @param {string} text
   */
  say(text) {
    this.latest.querySelector(".why")?.remove();
    this.latest.append(h("p", { class: "why" }, text));
  }

  #draw() {
    const [latest, ...before] = this.#done;
    put(this.latest, latest && this.#row("div", latest));
    put(this.before, ...before.map((each) => this.#row("li", each)));
  }

  /**
   * @param {"div" | "li"} tag
   * @param {Task} task
   */
  #row(tag, task) {
    const labels = counted(labelsOf(task));
    return h(
      tag,
      { class: "done-row", "data-id": task.id },
      this.photos.view(task.id, { alt: t("photo.of", { labels }) }),
      h("p", {}, labels),
      h(
        "p",
        { class: "state", "data-tone": "good" },
        icon("check"),
        t(task.confirmation?.corrected ? "owner.doneCorrected" : "owner.done"),
      ),
    );
  }
}
