// All that waits for the owner, as small pictures to choose from.

import { h, put } from "./dom.js";
import { guessOf } from "./reading.js";
import { counted, t } from "./texts.js";

export class WaitingStrip {
  /** @type {Map<string, {row: HTMLElement, button: HTMLElement}>} */
  #thumbs = new Map();

  /**
   * `choose(id)` is called for the task that a person wants to see.
   *
   * @param {import("./photos.js").Photos} photos
   * @param {(id: string) => void} choose
   */
  constructor(photos, choose) {
    this.photos = photos;
    this.choose = choose;
    this.element = h("ol", { class: "strip" });
  }

  /**
   * Show these, of which one is on the card; a picture that is there stays.
   *
   * @param {Task[]} tasks
   * @param {string | undefined} current
   */
  draw(tasks, current) {
    this.element.hidden = tasks.length < 2;
    const kept = this.#thumbs;
    this.#thumbs = new Map(tasks.map((task) => [task.id, kept.get(task.id) ?? this.#thumb(task)]));
    for (const [id, { button }] of this.#thumbs) button.setAttribute("aria-current", String(id === current));
    put(this.element, ...[...this.#thumbs.values()].map(({ row }) => row));
  }

  /** @param {Task} task */
  #thumb(task) {
    const best = guessOf(task);
    const care = task.status === "unreadable" || task.reading?.needs_review;
    const button = h(
      "button",
      {
        type: "button",
        class: "thumb",
        "aria-label": best.length ? counted(best) : t("photo.unread"),
        "data-care": String(Boolean(care)),
        onclick: () => this.choose(task.id),
      },
      this.photos.view(task.id, { alt: "" }),
    );
    return { row: h("li", { "data-id": task.id }, button), button };
  }
}
