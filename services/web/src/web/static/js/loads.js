// The list of what was photographed: photos on their way above, tasks below, newest first.

import { canHelp, explain } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { guessOf, labelsOf, stateLine } from "./reading.js";
import { ago, counted, moment, percent, t } from "./texts.js";

export class Loads {
  /** @type {Map<string, {row: HTMLElement, version: string}>} */
  #rows = new Map();

  /**
   * @param {{photos: import("./photos.js").Photos, queue: import("./upload-queue.js").UploadQueue,
   *   manyBranches: boolean}} options
   */
  constructor({ photos, queue, manyBranches }) {
    this.photos = photos;
    this.queue = queue;
    this.manyBranches = manyBranches;
    this.element = h("ol", { class: "loads" });
  }

  /** Update how long ago each was. */
  tick() {
    for (const time of this.element.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }

  /**
   * Show these; a row whose content is as it was stays. Returns how many rows there are.
   *
   * @param {UploadItem[]} items
   * @param {Task[]} tasks
   */
  draw(items, tasks) {
    const rows = [
      ...items.map((item) => this.#row(item.key, versionOfItem(item), () => this.#itemRow(item))),
      ...tasks.map((task) => this.#row(task.id, versionOfTask(task), () => this.#taskRow(task))),
    ];
    const wanted = new Set(rows);
    for (const [key, { row }] of this.#rows) if (!wanted.has(row)) this.#rows.delete(key);
    arrange(this.element, rows);
    for (const item of items) this.showProgress(item);
    return rows.length;
  }

  /**
   * Whether the row of a photo shows all of it but how far it is.
   *
   * @param {UploadItem} item
   */
  isShown(item) {
    return this.#rows.get(item.key)?.version === versionOfItem(item);
  }

  /**
   * Show how far a photo is.
   *
   * @param {UploadItem} item
   */
  showProgress(item) {
    const row = this.#rows.get(item.key)?.row;
    const bar = row?.querySelector("progress");
    const words = row?.querySelector(".percent");
    if (bar) bar.value = item.progress;
    if (words) words.textContent = percent(item.progress);
  }

  /**
   * @param {string} key
   * @param {string} version
   * @param {() => HTMLElement} make
   */
  #row(key, version, make) {
    const known = this.#rows.get(key);
    if (known?.version === version) return known.row;
    const row = make();
    this.#rows.set(key, { row, version });
    return row;
  }

  /** @param {Task} task */
  #taskRow(task) {
    const labels = labelsOf(task);
    const alt = labels.length ? t("photo.of", { labels: counted(labels) }) : t("photo.unread");
    const [best] = guessOf(task);
    const sure = task.status === "read" && !task.reading?.multiple && best?.confidence;
    return h(
      "li",
      { class: "load", "data-status": task.status, "data-id": task.id },
      this.photos.view(task.id, { alt }),
      h(
        "div",
        { class: "load-body" },
        stateLine(task),
        labels.length > 0 && h("p", { class: "garments" }, counted(labels), sure && h("small", {}, percent(sure))),
        task.note && h("p", { class: "note" }, task.note),
        h(
          "p",
          { class: "meta" },
          h("time", { datetime: task.submitted_at, title: moment(task.submitted_at) }, ago(task.submitted_at)),
          this.manyBranches && h("span", {}, task.branch_id),
        ),
      ),
    );
  }

  /** @param {UploadItem} item */
  #itemRow(item) {
    const refused = item.state === "refused";
    return h(
      "li",
      { class: "load", "data-status": item.state },
      this.photos.viewOf(item.key, item.blob, { alt: t("photo.unsent") }),
      h(
        "div",
        { class: "load-body" },
        h(
          "p",
          { class: "state", "data-tone": refused ? "bad" : "calm" },
          icon(refused ? "alert" : "clock"),
          t(`upload.${item.state}`),
        ),
        ...(refused && item.problem ? this.#refusal(item, item.problem) : []),
        item.state === "waiting" && h("p", { class: "meta" }, t(item.unkept ? "upload.unkept" : "upload.safe")),
        item.state === "sending" && h("progress", { max: 1, value: 0, "aria-label": t("upload.progress") }),
        item.state === "sending" && h("p", { class: "meta percent" }),
      ),
    );
  }

  /**
   * Why a photo was refused, and what the person can do.
   *
   * @param {UploadItem} item
   * @param {Refusal} problem
   */
  #refusal(item, problem) {
    const said = explain(problem);
    return [
      h("p", { class: "why" }, said.text),
      said.detail && h("p", { class: "why detail", lang: "en" }, said.detail),
      h(
        "div",
        { class: "row-actions" },
        canHelp(problem) &&
          h(
            "button",
            { class: "quiet", type: "button", onclick: () => this.queue.retry(item) },
            icon("retry"),
            t("action.retry"),
          ),
        h(
          "button",
          { class: "quiet", type: "button", onclick: () => this.queue.discard(item) },
          icon("bin"),
          t("action.discard"),
        ),
      ),
    ];
  }
}

/** @param {UploadItem} item */
function versionOfItem(item) {
  return JSON.stringify([item.state, item.unkept, item.problem?.code]);
}

/** @param {Task} task */
function versionOfTask(task) {
  return JSON.stringify([task.status, task.reading, task.confirmation]);
}

/**
 * Bring a list to an order with the fewest moves, so that focus and scrolling stay.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} rows
 */
function arrange(list, rows) {
  const wanted = new Set(/** @type {Element[]} */ (rows));
  for (const row of [...list.children]) if (!wanted.has(row)) row.remove();
  rows.forEach((row, index) => {
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
}
