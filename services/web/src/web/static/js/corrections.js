// What owners corrected of a helper's photos: as what each was read, and what it was.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { guessOf } from "./reading.js";
import { ago, counted, moment, t } from "./texts.js";

const PAGE = 20;

export class Corrections {
  /** @type {string | null} */
  #next = null;
  #asked = 0;
  #list = h("ol", { class: "loads" });
  #below = h("div", { class: "more" });

  /**
   * Nothing is asked for before it is opened.
   *
   * @param {import("./api.js").Api} api
   * @param {import("./photos.js").Photos} photos
   */
  constructor(api, photos) {
    this.api = api;
    this.photos = photos;
    this.element = h(
      "details",
      { class: "corrections", ontoggle: () => this.#open() },
      h("summary", {}, h("h2", {}, t("helper.corrections"))),
      h("p", { class: "meta" }, t("helper.correctionsText")),
      this.#list,
      this.#below,
    );
  }

  #open() {
    if (!this.element.open) return;
    put(this.#list);
    this.#next = null;
    this.#more();
  }

  async #more() {
    const asked = ++this.#asked;
    try {
      const { items, next } = await this.api.page("/api/helper/tasks/corrected", { limit: PAGE, cursor: this.#next });
      if (asked !== this.#asked) return;
      this.#list.append(...items.map((task) => this.#row(task)));
      this.#next = next;
      const more = h("button", { class: "secondary", type: "button", onclick: () => this.#more() }, t("action.more"));
      const none = emptyState("rosette", t("helper.noCorrections"));
      put(this.#below, !this.#list.childElementCount && none, next && more);
    } catch (problem) {
      if (asked === this.#asked) showTrouble(this.#below, problem, () => this.#more());
    }
  }

  /** @param {Task} task */
  #row(task) {
    const read = guessOf(task);
    const said = counted(task.confirmation?.labels ?? []);
    return h(
      "li",
      { class: "load", "data-id": task.id },
      this.photos.view(task.id, { alt: t("photo.of", { labels: said }) }),
      h(
        "div",
        { class: "load-body" },
        h("p", { class: "was" }, read.length ? t("helper.readAs", { labels: counted(read) }) : t("helper.notReadable")),
        h("p", { class: "garments" }, t("helper.correctedTo", { labels: said })),
        task.note && h("p", { class: "note" }, task.note),
        h(
          "p",
          { class: "meta" },
          h("time", { datetime: task.submitted_at, title: moment(task.submitted_at) }, ago(task.submitted_at)),
        ),
      ),
    );
  }
}
