// Queues as they are now, what died in them and why, and what an operator does about it.

import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { trouble } from "./frame.js";
import { once } from "./once.js";
import { auditRows, queueRow } from "./operations-rows.js";
import { ago, t } from "./texts.js";

const LOOK_MS = 4000;
const JOB_MS = 700;
const OPEN = ["queued", "running"];
const API = "/api/operations";
const AUDITS = [
  `${API}/audit`,
  "/api/mlops/models/audit",
  "/api/monitoring/equipment/audit",
  "/api/identity/people/audit",
];

export class DeadLettersPage {
  #closed = false;
  #timer = 0;
  /** @type {string | null} */
  #dead = null;
  #error = h("div");
  #queues = h("ul", { class: "queues" }, h("li", { class: "meta" }, t("dlq.loading")));
  #groups = h("div", { class: "dead-groups" }, h("p", { class: "meta" }, t("dlq.loading")));
  #act = h("div", { class: "dead-act", "aria-live": "polite" });
  #letter = h("div", { class: "dead-letter" });
  #audit = h("ol", { class: "dead-audit" });

  /** @param {SignedIn} signedIn */
  constructor({ api }) {
    this.api = api;
    this.element = h(
      "div",
      { class: "dead" },
      h("h1", {}, t("dlq.title")),
      this.#error,
      section("dlq.queues", this.#queues),
      section("dlq.letters", this.#groups, this.#act, this.#letter),
      section("dlq.audit", this.#audit),
    );
    this.ready = Promise.all([this.#look(), this.#showAudit()]);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** The counts now and every few seconds; letters are read only when their number changed. */
  async #look() {
    try {
      /** @type {{items: BrokerQueue[]}} */
      const { items } = await this.api.json(`${API}/queues`);
      if (this.#closed) return;
      put(this.#error);
      put(this.#queues, items.map(queueRow));
      const dead = items.map((queue) => queue.dead_letters).join();
      if (dead !== this.#dead) {
        await this.#showGroups();
        this.#dead = dead;
      }
    } catch (problem) {
      this.#complain(problem);
    }
    if (!this.#closed) this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  /** @param {import("./api.js").Problem} problem */
  #complain(problem) {
    if (!this.#closed) put(this.#error, trouble(explain(problem)));
  }

  async #showGroups() {
    /** @type {{groups: DeadLetterGroup[], items: DeadLetter[], queues: Array<{queue: string, waiting: number, looked_at: number}>}} */
    const { groups, items, queues } = await this.api.json(`${API}/dead-letters?limit=200`);
    if (this.#closed) return;
    if (!groups.length) {
      put(this.#groups, emptyState("folded", t("dlq.none")));
      return;
    }
    const parts = queues.filter((queue) => queue.looked_at < queue.waiting);
    put(
      this.#groups,
      parts.map((queue) =>
        h("p", { class: "hint" }, t("dlq.sample", { queue: queue.queue, seen: queue.looked_at, all: queue.waiting })),
      ),
      groups.map((group) =>
        this.#group(
          group,
          items.filter(
            (item) =>
              item.queue === group.queue && item.reason === group.reason && item.error_class === group.error_class,
          ),
        ),
      ),
    );
  }

  /**
   * @param {DeadLetterGroup} group
   * @param {DeadLetter[]} letters
   */
  #group(group, letters) {
    const why = group.error_class ? `${group.reason} · ${group.error_class}` : group.reason;
    // The narrower of both is meant: exhausted retries have many error classes, but refusals for many reasons share one.
    const reason = group.reason === "retries-exhausted" && group.error_class ? group.error_class : group.reason;
    return h(
      "article",
      { class: "dead-group" },
      h("h3", {}, group.queue),
      h("p", {}, h("strong", {}, t("dlq.count", { count: group.count })), " ", why),
      h("p", { class: "meta" }, group.oldest && t("dlq.oldest", { time: ago(group.oldest) })),
      group.redriven > 0 && h("p", { class: "again" }, t("dlq.groupAgain", { count: group.redriven })),
      h(
        "div",
        { class: "dead-buttons" },
        ["redrive", "discard"].map((action) =>
          h(
            "button",
            {
              type: "button",
              class: "secondary",
              onclick: () => this.#preview(action, { queue: group.queue, reason }),
            },
            t(`dlq.preview.${action}`),
          ),
        ),
      ),
      h(
        "details",
        {},
        h("summary", {}, t("dlq.single", { count: letters.length })),
        h(
          "ul",
          { class: "dead-letters" },
          letters.map((letter) =>
            h(
              "li",
              {},
              h("button", { type: "button", class: "quiet", onclick: () => this.#showLetter(letter) }, letter.id),
              letter.redriven > 0 && h("span", { class: "again" }, t("dlq.again", { count: letter.redriven })),
            ),
          ),
        ),
      ),
    );
  }

  /** @param {DeadLetter} letter */
  async #showLetter({ queue, fingerprint }) {
    const place = placeIn(this.#letter);
    try {
      const letter = await this.api.json(
        `${API}/dead-letters/${encodeURIComponent(queue)}/${encodeURIComponent(fingerprint)}`,
      );
      const rows = [
        ["dlq.why", [letter.reason, letter.error_class, letter.error_message].filter(Boolean).join(" · ")],
        ["dlq.attempts", letter.attempts ?? "–"],
        ["dlq.trace", letter.trace_id ?? "–"],
        ["dlq.redriven", t("dlq.again", { count: letter.redriven })],
      ];
      const opened = h(
        "article",
        { class: "dead-group", tabindex: "-1" },
        h("h3", {}, letter.id),
        h(
          "dl",
          {},
          rows.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, String(value)))),
        ),
        h("h4", {}, t("dlq.headers")),
        h(
          "pre",
          { tabindex: "0" },
          Object.entries(letter.headers)
            .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
            .join(""),
        ),
        h("h4", {}, t("dlq.body")),
        h("pre", { tabindex: "0" }, letter.body),
        h(
          "div",
          { class: "dead-buttons" },
          ["redrive", "discard"].map((action) =>
            h(
              "button",
              {
                type: "button",
                class: "secondary",
                onclick: () => this.#preview(action, { queue, ids: [fingerprint] }),
              },
              t(`dlq.preview.${action}`),
            ),
          ),
        ),
      );
      put(place, opened);
      opened.focus();
    } catch (problem) {
      put(place, trouble(explain(problem)));
    }
  }

  /**
   * @param {string} action
   * @param {{queue: string, reason?: string, ids?: string[]}} which
   */
  async #preview(action, which) {
    const place = placeIn(this.#act);
    try {
      /** @type {{id: string, total: number, preview: {groups: Array<{redriven: number, count: number}>}}} */
      const plan = await this.api.json(`${API}/dead-letters/${action}`, { method: "POST", json: which });
      const why = h("input", { id: "dead-why", required: true, maxlength: 500, autocomplete: "off" });
      const again = plan.preview.groups.filter((group) => group.redriven).reduce((sum, group) => sum + group.count, 0);
      const from = [which.queue, which.reason].filter(Boolean).join(" · ");
      const act = h("button", { type: "submit", class: "primary", disabled: plan.total === 0 }, t(`dlq.do.${action}`));
      put(
        place,
        h(
          "form",
          {
            class: "dead-group",
            onsubmit: (event) => {
              event.preventDefault();
              const body = { ...which, plan: plan.id, dry_run: false, why: why.value };
              once(act, () => this.#execute(action, body, place));
            },
          },
          h("h3", {}, t(`dlq.would.${action}`, { from, count: plan.total })),
          again > 0 && h("p", { class: "again" }, t("dlq.groupAgain", { count: again })),
          h("label", { for: "dead-why" }, t("dlq.whyAsked")),
          why,
          h(
            "div",
            { class: "dead-buttons" },
            act,
            h("button", { type: "button", class: "quiet", onclick: () => put(this.#act) }, t("action.back")),
          ),
        ),
      );
      why.focus();
    } catch (problem) {
      put(place, trouble(explain(problem)));
    }
  }

  /**
   * @param {string} action
   * @param {object} body
   * @param {HTMLElement} place
   */
  async #execute(action, body, place) {
    const letter = this.#letter.firstElementChild;
    try {
      let job = await this.api.json(`${API}/dead-letters/${action}`, { method: "POST", json: body });
      const bar = h("progress", { max: Math.max(1, job.total), value: 0, "aria-label": t("dlq.progress") });
      const line = h("p", {});
      put(place, h("div", { class: "dead-group" }, line, bar));
      while (!this.#closed) {
        bar.value = job.done;
        line.textContent = t(`dlq.job.${job.state}`, { done: job.done, total: job.total ?? 0 });
        if (!OPEN.includes(job.state)) break;
        await new Promise((wake) => setTimeout(wake, JOB_MS));
        job = await this.api.json(`${API}/jobs/${job.id}`);
      }
      say(line.textContent);
      letter?.remove();
      this.#dead = null;
      await this.#showAudit();
    } catch (problem) {
      if (place.isConnected) put(place, trouble(explain(problem)));
      else this.#complain(problem);
    }
  }

  async #showAudit() {
    try {
      // Each service keeps its own; one that is away does not hide the others'.
      const pages = await Promise.allSettled(AUDITS.map((path) => this.api.json(`${path}?limit=20`)));
      if (pages[0].status === "rejected") throw pages[0].reason;
      /** @type {AuditRecord[]} */
      const all = pages.flatMap((page) => (page.status === "fulfilled" ? page.value.items : []));
      put(this.#audit, ...auditRows(all));
    } catch (problem) {
      this.#complain(problem);
    }
  }
}

/**
 * Make a place for the answer to a question. The next question takes it away, so that a late answer is not shown.
 *
 * @param {HTMLElement} stage
 */
function placeIn(stage) {
  const place = h("div", {}, h("p", { class: "meta" }, t("dlq.loading")));
  put(stage, place);
  return place;
}

/**
 * @param {string} key
 * @param {Children} content
 */
function section(key, ...content) {
  return h("section", {}, h("h2", {}, t(key)), ...content);
}
