// All that waits for the owner, as small pictures to choose from.

import { h } from "./dom.js";
import { guessOf } from "./reading.js";
import { Rows } from "./rows.js";
import { counted, t } from "./texts.js";

export class WaitingStrip {
  element = h("ol", { class: "strip" });
  #rows = new Rows(this.element);

  /**
   * `choose(id)` is called for the task that a person wants to see.
   *
   * @param {import("./photos.js").Photos} photos
   * @param {(id: string) => void} choose
   */
  constructor(photos, choose) {
    this.photos = photos;
    this.choose = choose;
  }

  /**
   * Show these, of which one is on the card; a picture that is there stays.
   *
   * @param {Task[]} tasks
   * @param {string | undefined} current
   */
  draw(tasks, current) {
    this.element.hidden = tasks.length < 2;
    this.#rows.show(
      tasks.map((task) => {
        const best = guessOf(task);
        const label = best.length ? counted(best) : t("photo.unread");
        const care = task.status === "unreadable" || Boolean(task.reading?.needs_review);
        return { key: task.id, version: `${care} ${label}`, make: () => this.#thumb(task.id, { label, care }) };
      }),
    );
    this.element.querySelector("[aria-current]")?.removeAttribute("aria-current");
    const shown = current === undefined ? undefined : this.#rows.get(current);
    shown?.row.firstElementChild?.setAttribute("aria-current", "true");
  }

  /**
   * @param {string} id
   * @param {{label: string, care: boolean}} said
   */
  #thumb(id, { label, care }) {
    const button = h(
      "button",
      {
        type: "button",
        class: "thumb",
        "aria-label": label,
        "data-care": String(care),
        onclick: () => this.choose(id),
      },
      this.photos.view(id, { alt: "" }),
    );
    return h("li", { "data-id": id }, button);
  }
}
