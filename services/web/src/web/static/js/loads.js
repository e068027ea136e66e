// The list of what was photographed: photos on their way above, tasks below, newest first.

import { canHelp, explain } from "./api.js";
import { now } from "./clock.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { guessOf, labelsOf, stateLine } from "./reading.js";
import { Rows } from "./rows.js";
import { ago, counted, moment, percent, t } from "./texts.js";

// As the service has it (`retake_within_s`), less the time that a photo may take to get there.
const RETAKE_MS = 12 * 60 * 1000;
// Only the person can say whether a photo goes beside what it was to replace.
const TOO_LATE = ["replaced-task-confirmed", "replaced-task-too-old", "replaced-task-not-found"];

export class Loads {
  element = h("ol", { class: "loads" });
  #rows = new Rows(this.element);

  /**
   * @param {{photos: import("./photos.js").Photos, queue: import("./upload-queue.js").UploadQueue,
   *   retaking: import("./retaking.js").Retaking, session: Session}} options
   */
  constructor({ photos, queue, retaking, session }) {
    this.photos = photos;
    this.retaking = retaking;
    this.session = session;
    this.queue = queue;
    this.manyBranches = session.branches.length > 1;
  }

  /** Update how long ago each was, and whether it can be taken again. */
  tick() {
    for (const actions of this.element.querySelectorAll("[data-until]")) {
      if (actions instanceof HTMLElement && now() > Number(actions.dataset.until)) actions.remove();
    }
    for (const time of this.element.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }

  /**
   * Show these; a row whose content is as it was stays. Returns how many rows there are.
   *
   * @param {UploadItem[]} items
   * @param {Task[]} tasks
   */
  draw(items, tasks) {
    const sizes = sizesOf([...items.map((item) => item.loadId), ...tasks.map((task) => task.load_id)]);
    this.#rows.show([
      ...items.map((item) => ({ key: item.key, version: versionOfItem(item), make: () => this.#itemRow(item) })),
      ...tasks.map((task) => {
        const size = sizes.get(task.load_id) ?? 1;
        return { key: task.id, version: versionOfTask(task, size), make: () => this.#taskRow(task, size) };
      }),
    ]);
    for (const item of items) this.showProgress(item);
    return items.length + tasks.length;
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
   * @param {Task} task
   * @param {number} size how many photos its load has
   */
  #taskRow(task, size) {
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
          size > 1 && h("span", {}, t("helper.ofLoad", { count: size })),
        ),
        this.#retakable(task) && this.#takeActions(task, Date.parse(task.submitted_at) + RETAKE_MS),
      ),
    );
  }

  /** @param {Task} task */
  #retakable({ helper_id, status, submitted_at }) {
    const changeable = status !== "confirmed" && helper_id === this.session.sub;
    return changeable && now() < Date.parse(submitted_at) + RETAKE_MS;
  }

  /**
   * @param {Task | UploadItem} of
   * @param {number | null} until when they go away
   */
  #takeActions(of, until = null) {
    return h(
      "div",
      { class: "row-actions", "data-until": until },
      h(
        "button",
        { class: "quiet", type: "button", onclick: () => this.retaking.again(of) },
        icon("retry"),
        t("helper.retake"),
      ),
      h(
        "button",
        { class: "quiet", type: "button", onclick: () => this.retaking.more(of) },
        icon("plus"),
        t("helper.addToLoad"),
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
        !refused && this.#takeActions(item),
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
        TOO_LATE.includes(problem.code) &&
          h(
            "button",
            { class: "quiet", type: "button", onclick: () => this.queue.sendBeside(item) },
            icon("plus"),
            t("helper.sendBeside"),
          ),
        canHelp(problem) &&
          !TOO_LATE.includes(problem.code) &&
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

/**
 * @param {Task} task
 * @param {number} size
 */
function versionOfTask(task, size) {
  return JSON.stringify([task.version, size]);
}

/**
 * How many photos each load has.
 *
 * @param {Array<string | null | undefined>} loads
 */
function sizesOf(loads) {
  /** @type {Map<string | null | undefined, number>} */
  const sizes = new Map();
  for (const load of loads) if (load) sizes.set(load, (sizes.get(load) ?? 0) + 1);
  return sizes;
}
