// What a branch has washed: per day and per class, with the share that the owner corrected.

import { columnChart, shareBar } from "./chart.js";
import { now } from "./clock.js";
import { csvOf } from "./csv.js";
import { daysBetween, moved, todayIn } from "./days.js";
import { h, put } from "./dom.js";
import { download } from "./download.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { labelled } from "./history-view.js";
import { icon } from "./icons.js";
import { calendarDay, number, percent, t, word } from "./texts.js";
import { byClass, csvRows, total } from "./washed.js";

const SPANS = [7, 28, 90];
const USUAL = 28;
// The services say theirs with the first answer.
const ZONE = "Asia/Seoul";

export class WashedView {
  #stage = h("div", { class: "washed-stage" });
  #closed = false;
  #asked = 0;
  #zone = ZONE;
  #branch = "";
  #first;
  #last;

  /** @param {SignedIn} signedIn */
  constructor({ session, api }) {
    this.session = session;
    this.api = api;
    const today = todayIn(now(), this.#zone);
    this.#first = h("input", { id: "washed-first", type: "date", value: moved(today, 1 - USUAL), max: today });
    this.#last = h("input", { id: "washed-last", type: "date", value: today, max: today });
    for (const field of [this.#first, this.#last]) field.addEventListener("change", () => this.#load());
    this.element = h(
      "section",
      { class: "washed", "aria-labelledby": "washed-title" },
      h("h1", { id: "washed-title" }, t("owner.view.washed")),
      h(
        "div",
        { class: "search" },
        this.#branches(),
        labelled(t("days.first"), this.#first),
        labelled(t("days.last"), this.#last),
        h(
          "div",
          { class: "search-actions", role: "group", "aria-label": t("washed.spans") },
          SPANS.map((days) =>
            h(
              "button",
              { class: "chip", type: "button", onclick: () => this.#span(days) },
              t("washed.lastDays", { count: days }),
            ),
          ),
        ),
      ),
      this.#stage,
    );
    this.ready = this.#load();
  }

  get title() {
    return t("washed.documentTitle");
  }

  close() {
    this.#closed = true;
  }

  #branches() {
    const { branches } = this.session;
    if (branches.length < 2) return null;
    const select = h(
      "select",
      { id: "washed-branch" },
      ["", ...branches].map((name) => h("option", { value: name }, name || t("filter.allBranches"))),
    );
    select.addEventListener("change", () => {
      this.#branch = select.value;
      this.#load();
    });
    return labelled(t("filter.branch"), select);
  }

  /** @param {number} days until today */
  #span(days) {
    const today = todayIn(now(), this.#zone);
    this.#last.value = today;
    this.#first.value = moved(today, 1 - days);
    this.#load();
  }

  async #load() {
    const asked = ++this.#asked;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({
      branch_id: this.#branch,
      first_day: this.#first.value,
      last_day: this.#last.value,
    }))
      if (value) query.set(name, value);
    this.#stage.setAttribute("aria-busy", "true");
    try {
      /** @type {WashedDays} */
      const washed = await this.api.json(`/api/helper/tasks/washed?${query}`);
      if (asked !== this.#asked || this.#closed) return;
      this.#zone = washed.time_zone;
      this.#show(washed);
    } catch (problem) {
      if (asked !== this.#asked || this.#closed) return;
      showTrouble(this.#stage, problem, () => this.#load());
    } finally {
      if (asked === this.#asked) this.#stage.removeAttribute("aria-busy");
    }
  }

  /** @param {WashedDays} washed */
  #show(washed) {
    const sum = total(washed);
    if (!sum.loads) {
      put(this.#stage, emptyState("basket", t("washed.none"), t("washed.noneText")));
      return;
    }
    put(
      this.#stage,
      h(
        "dl",
        { class: "figures" },
        figure(t("washed.loads"), number(sum.loads)),
        figure(t("washed.pieces"), number(sum.pieces)),
        figure(t("washed.corrected"), percent(sum.corrected / sum.loads)),
      ),
      this.#chart(washed),
      this.#classes(washed),
      h(
        "details",
        {},
        h("summary", {}, t("washed.table")),
        h("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": t("washed.table") }, table(washed)),
      ),
      h(
        "button",
        { class: "secondary", type: "button", onclick: () => this.#save(washed) },
        icon("down"),
        t("washed.csv"),
      ),
    );
  }

  /** @param {WashedDays} washed */
  #chart(washed) {
    const days = new Map(washed.days.map((day) => [day.day, day]));
    const columns = daysBetween(washed.first_day, washed.last_day).map((day) => {
      const { loads = 0, corrected = 0 } = days.get(day) ?? {};
      return {
        title: t("washed.day", { day: calendarDay(day), loads, corrected }),
        parts: [loads - corrected, corrected],
      };
    });
    const most = Math.max(...washed.days.map(({ loads }) => loads));
    const busiest = washed.days.find(({ loads }) => loads === most);
    const sum = total(washed);
    const label = t("washed.chart", {
      first: calendarDay(washed.first_day),
      last: calendarDay(washed.last_day),
      loads: sum.loads,
      day: calendarDay(busiest?.day ?? washed.last_day),
      most,
    });
    return h(
      "figure",
      { class: "chart" },
      h("p", { class: "meta", "aria-hidden": "true" }, t("washed.most", { count: most })),
      columnChart(columns, { label, kinds: ["part-right", "part-corrected"] }),
      h(
        "p",
        { class: "meta chart-ends", "aria-hidden": "true" },
        h("span", {}, calendarDay(washed.first_day)),
        h("span", {}, calendarDay(washed.last_day)),
      ),
      h(
        "figcaption",
        { class: "legend" },
        h("span", { class: "key-right" }, t("washed.asRead")),
        h("span", { class: "key-corrected" }, t("washed.correctedLoads")),
      ),
    );
  }

  /** @param {WashedDays} washed */
  #classes(washed) {
    const rows = byClass(washed);
    return h(
      "div",
      { class: "scrolling", tabindex: "0", role: "region", "aria-label": t("washed.byClass") },
      h(
        "table",
        { class: "counts" },
        h("caption", {}, t("washed.byClass")),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["history.class", "washed.pieces", "washed.loads", "washed.corrected"].map((key) =>
              h("th", { scope: "col" }, t(key)),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map(({ label, pieces, loads, corrected }) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, word("label", label)),
              h("td", {}, number(pieces)),
              h("td", {}, number(loads)),
              h("td", {}, shareBar(corrected / loads), percent(corrected / loads)),
            ),
          ),
        ),
      ),
    );
  }

  /** @param {WashedDays} washed */
  #save(washed) {
    const header = ["washed.dayColumn", "history.class", "washed.pieces", "washed.loads", "washed.correctedLoads"];
    const rows = csvRows(washed, (label) => word("label", label));
    const of = this.#branch || this.session.branches.join("_");
    const name = t("washed.file", { branch: of.slice(0, 60), first: washed.first_day, last: washed.last_day });
    const text = csvOf([header.map((key) => t(key)), ...rows]);
    download(`${name}.csv`, new Blob([text], { type: "text/csv;charset=utf-8" }));
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
function figure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** @param {WashedDays} washed */
function table(washed) {
  const labels = byClass(washed).map(({ label }) => label);
  const pieces = new Map(washed.items.map((item) => [`${item.day} ${item.label}`, item.pieces]));
  return h(
    "table",
    { class: "counts" },
    h("caption", {}, t("washed.tableCaption")),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, t("washed.dayColumn")),
        labels.map((label) => h("th", { scope: "col" }, word("label", label))),
        h("th", { scope: "col" }, t("washed.loads")),
        h("th", { scope: "col" }, t("washed.correctedLoads")),
      ),
    ),
    h(
      "tbody",
      {},
      washed.days.map(({ day, loads, corrected }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, calendarDay(day)),
          labels.map((label) => h("td", {}, number(pieces.get(`${day} ${label}`) ?? 0))),
          h("td", {}, number(loads)),
          h("td", {}, number(corrected)),
        ),
      ),
    ),
  );
}
