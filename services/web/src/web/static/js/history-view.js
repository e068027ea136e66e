// What was confirmed before, looked for on the server: by class, note, helper, day and branch.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { icon } from "./icons.js";
import { labelsOf } from "./reading.js";
import { ago, counted, moment, t, word } from "./texts.js";

const PAGE = 50;
const CLASS = "label";
// In the address too, so that a search can be kept, shared and reloaded.
const FIELDS = [CLASS, "note", "helper", "branch_id", "first_day", "last_day"];

export class HistoryView {
  #list = h("ol", { class: "loads past" });
  #stage = h("div", {});
  #more = h("div", { class: "more" });
  #said = h("p", { class: "meta found", role: "status" });
  #form;
  /** @type {AbortController | null} */
  #asking = null;
  /** @type {Record<string, string>} */
  #query = {};
  #shown = 0;
  #closed = false;

  /** @param {SignedIn} signedIn */
  constructor({ session, api, photos }) {
    this.session = session;
    this.api = api;
    this.photos = photos;
    this.#form = this.#makeForm();
    this.element = h(
      "section",
      { class: "past-view", "aria-labelledby": "history-title" },
      h("h1", { id: "history-title" }, t("owner.view.history")),
      this.#form,
      this.#said,
      this.#stage,
      this.#list,
      this.#more,
    );
    this.ready = Promise.all([this.#fillClasses(), this.#search()]);
  }

  get title() {
    return t("history.documentTitle");
  }

  close() {
    this.#closed = true;
    this.#asking?.abort();
  }

  #makeForm() {
    const asked = new URLSearchParams(location.search);
    /** @param {string} name */
    const value = (name) => asked.get(name) ?? "";
    const chosen = value(CLASS);
    const { branches } = this.session;
    return h(
      "form",
      {
        class: "search",
        role: "search",
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          this.#keepInAddress();
          this.#search();
        },
      },
      labelled(
        t("history.class"),
        h(
          "select",
          { id: "search-class", name: CLASS },
          h("option", { value: "" }, t("history.anyClass")),
          chosen && h("option", { value: chosen, selected: true }, word("label", chosen)),
        ),
      ),
      labelled(
        t("history.note"),
        h("input", { id: "search-note", type: "search", name: "note", value: value("note"), maxlength: 80 }),
      ),
      labelled(
        t("history.helper"),
        h("input", { id: "search-helper", type: "search", name: "helper", value: value("helper"), maxlength: 80 }),
      ),
      branches.length > 1 &&
        labelled(
          t("filter.branch"),
          h(
            "select",
            { id: "search-branch", name: "branch_id" },
            ["", ...branches].map((name) =>
              h("option", { value: name, selected: name === value("branch_id") }, name || t("filter.allBranches")),
            ),
          ),
        ),
      labelled(
        t("days.first"),
        h("input", { id: "search-first", type: "date", name: "first_day", value: value("first_day") }),
      ),
      labelled(
        t("days.last"),
        h("input", { id: "search-last", type: "date", name: "last_day", value: value("last_day") }),
      ),
      h(
        "div",
        { class: "search-actions" },
        h("button", { class: "primary", type: "submit" }, icon("search"), t("history.search")),
        h("button", { class: "quiet", type: "button", onclick: () => this.#clear() }, t("history.clear")),
      ),
    );
  }

  async #fillClasses() {
    try {
      const { items } = await this.api.json("/api/helper/labels");
      const select = this.#form.querySelector("select");
      const there = [...(select?.options ?? [])].map((option) => option.value);
      for (const label of items.filter((/** @type {string} */ each) => !there.includes(each)))
        select?.append(h("option", { value: label }, word("label", label)));
    } catch {
      // The other fields work.
    }
  }

  #wanted() {
    const filled = new FormData(this.#form);
    return Object.fromEntries(FIELDS.map((name) => [name, String(filled.get(name) ?? "").trim()]));
  }

  #keepInAddress() {
    const query = new URLSearchParams({ view: "history" });
    for (const [name, value] of Object.entries(this.#wanted())) if (value) query.set(name, value);
    history.replaceState(null, "", `${location.pathname}?${query}`);
  }

  #clear() {
    for (const field of this.#form.querySelectorAll("input, select"))
      if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = "";
    this.#keepInAddress();
    this.#search();
  }

  /** @param {string | null} [cursor] of the next page; without one the search begins afresh */
  async #search(cursor = null) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    if (cursor === null) {
      // Further pages are of this search, whatever was put into its fields since.
      this.#query = this.#wanted();
      this.#shown = 0;
      this.element.setAttribute("aria-busy", "true");
    }
    try {
      const { items, next } = await this.api.page("/api/helper/tasks", {
        limit: PAGE,
        cursor,
        status: ["confirmed"],
        more: this.#query,
      });
      if (asking.signal.aborted || this.#closed) return;
      this.#show(items, next, { afresh: cursor === null, any: Object.values(this.#query).some(Boolean) });
    } catch (problem) {
      if (asking.signal.aborted || this.#closed) return;
      if (cursor !== null) {
        showTrouble(this.#more, problem, () => this.#search(cursor));
        return;
      }
      put(this.#list);
      put(this.#said);
      put(this.#more);
      showTrouble(this.#stage, problem, () => this.#search());
    } finally {
      if (this.#asking === asking) this.element.removeAttribute("aria-busy");
    }
  }

  /**
   * @param {Task[]} items
   * @param {string | null} next
   * @param {{afresh: boolean, any: boolean}} how
   */
  #show(items, next, { afresh, any }) {
    if (afresh) put(this.#list);
    this.#shown += items.length;
    const rows = items.map((task) => this.#row(task));
    this.#list.append(...rows);
    const none = this.#shown === 0;
    put(
      this.#stage,
      none &&
        (any
          ? emptyState("lens", t("history.notFound"), t("history.notFoundText"))
          : emptyState("basket", t("history.none"), t("history.noneText"))),
    );
    const text = none ? "" : t(next ? "history.foundMore" : "history.found", { count: this.#shown });
    put(this.#said, text);
    put(
      this.#more,
      next && h("button", { class: "secondary", type: "button", onclick: () => this.#search(next) }, t("action.more")),
    );
    if (!afresh) {
      // The button that was pressed is gone: go on where the new ones begin.
      rows[0]?.setAttribute("tabindex", "-1");
      rows[0]?.focus({ preventScroll: true });
    }
  }

  /** @param {Task} task */
  #row(task) {
    const labels = counted(labelsOf(task));
    const confirmed = task.confirmation;
    return h(
      "li",
      { class: "load", "data-id": task.id },
      this.photos.view(task.id, { alt: t("photo.of", { labels }) }),
      h(
        "div",
        { class: "load-body" },
        h(
          "p",
          { class: "state", "data-tone": "good" },
          icon("check"),
          t(confirmed?.corrected ? "owner.doneCorrected" : "owner.done"),
        ),
        h("p", { class: "garments" }, labels),
        confirmed?.corrected && task.reading
          ? h("p", { class: "meta" }, t("history.wasRead", { labels: counted(task.reading.labels.slice(0, 1)) }))
          : null,
        task.note && h("p", { class: "note" }, task.note),
        h(
          "p",
          { class: "meta" },
          h("time", { datetime: task.submitted_at, title: ago(task.submitted_at) }, moment(task.submitted_at)),
          h("span", {}, t("history.by", { helper: task.helper_id })),
          this.session.branches.length > 1 && h("span", {}, task.branch_id),
        ),
      ),
    );
  }
}

/**
 * A field with its name above it.
 *
 * @param {string} name
 * @param {HTMLInputElement | HTMLSelectElement} field
 */
export function labelled(name, field) {
  return h("div", { class: "field" }, h("label", { for: field.id }, name), field);
}
