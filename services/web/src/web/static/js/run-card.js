// One training run as it goes: how far it is, what became of it, and its log.

import { h, put } from "./dom.js";
import { showTrouble } from "./frame.js";
import { once } from "./once.js";
import { ago, clock, moment, percent, t } from "./texts.js";

const OPEN = ["queued", "running"];
const NEARLY_PX = 8;

/**
 * Whether a run may still change by itself.
 *
 * @param {{status: string}} run
 */
export function goesOn(run) {
  return OPEN.includes(run.status);
}

/** A card that is updated in place, so that focus and open details are kept. */
export class RunCard {
  #facts = h("div", { class: "run-facts" });
  #meta = h("span", { class: "meta" });
  #bar = h("progress", { max: 1 });
  /** @type {string | null} */
  #outcome = null;
  #log;

  /**
   * @param {import("./api.js").Api} api
   * @param {{id: string, onCancel(): Promise<unknown>}} options
   */
  constructor(api, { id, onCancel }) {
    this.onCancel = onCancel;
    this.#log = new RunLog(api, id);
    this.element = h("li", { class: "run", "data-run": id }, this.#facts, this.#log.element);
  }

  /** @param {TrainingRun} run */
  show(run) {
    this.element.dataset.state = run.status;
    this.#meta.textContent = `${t(`run.kind.${run.kind}`)} · ${run.requested_by} · ${ago(run.created_at)}`;
    this.#bar.value = run.progress;
    this.#bar.setAttribute("aria-label", t("models.progress", { share: percent(run.progress) }));
    const outcome = JSON.stringify([run.status, run.error, run.decision]);
    if (outcome !== this.#outcome) put(this.#facts, ...this.#parts(run));
    this.#outcome = outcome;
    this.#log.refresh();
  }

  /**
   * @param {TrainingRun} run
   * @returns {Children}
   */
  #parts({ status, error, decision }) {
    return [
      h("div", { class: "run-head" }, h("strong", {}, t(`run.${status}`)), this.#meta),
      status === "running" && this.#bar,
      goesOn({ status }) &&
        h(
          "button",
          { class: "secondary", type: "button", onclick: ({ currentTarget }) => once(currentTarget, this.onCancel) },
          t("models.cancel"),
        ),
      error && h("p", { class: "detail", lang: "en" }, error),
      decision && h("p", {}, t(decision.promoted ? "run.promoted" : "run.notPromoted")),
      decision &&
        h(
          "details",
          {},
          h("summary", {}, t("models.reasons")),
          h(
            "ul",
            { class: "reasons", lang: "en" },
            decision.reasons.map((reason) => h("li", {}, reason)),
          ),
        ),
    ];
  }
}

/** What a run said of itself: fetched when it is opened, and at each change of the run while it is open. */
class RunLog {
  /** @type {LogLine[]} */
  #known = [];
  #lines = h("ol", { lang: "en" });
  #box = h(
    "div",
    { class: "log", tabindex: "0", role: "log", "aria-label": t("models.log"), hidden: true },
    this.#lines,
  );
  #state = h("div", {}, h("p", { class: "meta" }, t("models.loading")));
  #loading = false;
  #stale = false;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} id
   */
  constructor(api, id) {
    this.api = api;
    this.path = `/api/mlops/training-runs/${encodeURIComponent(id)}/log`;
    this.element = h(
      "details",
      { class: "run-log", ontoggle: () => this.refresh() },
      h("summary", {}, t("models.log")),
      this.#state,
      this.#box,
    );
  }

  async refresh() {
    if (!this.element.open) return;
    // A change while an answer is on its way may be missing from it.
    this.#stale = true;
    if (this.#loading) return;
    this.#loading = true;
    try {
      while (this.#stale && this.element.open) {
        this.#stale = false;
        const { items } = await this.api.json(this.path);
        this.#show(items);
      }
    } catch (problem) {
      showTrouble(this.#state, problem, () => this.refresh());
    } finally {
      this.#loading = false;
    }
  }

  /** @param {LogLine[]} items */
  #show(items) {
    put(this.#state, !items.length && h("p", { class: "meta" }, t("models.noLog")));
    this.#box.hidden = !items.length;
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const atEnd = scrollTop + clientHeight >= scrollHeight - NEARLY_PX;
    // Lines that are there stay: somebody may be reading or copying them.
    const known = this.#known.every((line, place) => isSame(line, items[place])) ? this.#known.length : 0;
    if (!known) put(this.#lines);
    this.#lines.append(...items.slice(known).map(logLine));
    this.#known = items;
    if (atEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }
}

/**
 * @param {LogLine} line
 * @param {LogLine | undefined} other
 */
function isSame(line, other) {
  return line.text === other?.text && line.created_at === other?.created_at;
}

/** @param {LogLine} line */
function logLine({ created_at: at, text }) {
  return h("li", {}, h("time", { datetime: at, title: moment(at) }, clock(at)), h("span", {}, text));
}
