// What a customer was told, whether to be told, and the one tap that ends it.

import { alertRow } from "./alert-row.js";
import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live } from "./live.js";
import { Reach } from "./reach.js";
import { ago, moment, t } from "./texts.js";

const CONSENT = "/api/notification/customers/me/consent";
const TOLD = "/api/notification/notifications";
const PAGE = 20;
const CLOCK_MS = 30000;

export class ToldView {
  /** @type {Map<string, AppNotification>} */
  #told = new Map();
  /** @type {string | null} */
  #next = null;
  #loaded = false;
  #consent = h("div", { class: "consent" });
  #list = h("ol", { class: "alerts" });
  #none = h("div", {});
  #more = h("div", { class: "more" });
  #closed = new AbortController();

  /**
   * @param {SignedIn} signedIn
   * @param {(state: StreamState) => void} onState
   */
  constructor({ api }, onState) {
    this.api = api;
    this.reach = new Reach(api);
    this.element = h(
      "div",
      { class: "told" },
      h(
        "section",
        { "aria-labelledby": "consent-title" },
        h("h1", { id: "consent-title" }, t("consent.title")),
        this.#consent,
      ),
      this.reach.element,
      h(
        "section",
        { "aria-labelledby": "told-title" },
        h("h2", { id: "told-title" }, t("told.title")),
        this.#none,
        this.#list,
        this.#more,
      ),
    );
    this.live = new Live(api, `${TOLD}/stream`, {
      refresh: () => this.#refresh(),
      onChange: (notification) => this.#take(notification),
      draw: () => this.#draw(),
      onState,
    }).start();
    const clock = setInterval(() => this.#tick(), CLOCK_MS);
    this.#closed.signal.addEventListener("abort", () => clearInterval(clock));
    this.ready = Promise.all([this.#refresh().catch(() => {}), this.#askConsent(), this.reach.ready]);
  }

  get title() {
    return t("told.documentTitle");
  }

  close() {
    this.#closed.abort();
    this.reach.close();
    this.live.stop();
  }

  // Consent

  async #askConsent() {
    try {
      this.#showConsent(await this.api.json(CONSENT));
    } catch (problem) {
      showTrouble(this.#consent, problem, () => this.#askConsent());
    }
  }

  /** @param {Consent} consent */
  #showConsent(consent) {
    if (this.#closed.signal.aborted) return;
    const { given, text, changed_at: changedAt, per_week: perWeek, quiet_from: from, quiet_until: until } = consent;
    put(
      this.#consent,
      h(
        "p",
        { class: "state", "data-tone": given ? "good" : "calm" },
        icon(given ? "check" : "bell"),
        t(given ? "consent.given" : changedAt ? "consent.ended" : "consent.never"),
      ),
      given
        ? h("p", {}, t("consent.limits", { count: perWeek, from, until }))
        : [h("p", { class: "ask" }, text.title), h("p", {}, text.body)],
      changedAt && h("p", { class: "meta" }, t("consent.since", { time: moment(changedAt) })),
      h(
        "button",
        { class: given ? "secondary" : "primary", type: "button", onclick: () => this.#say(!given, consent) },
        icon(given ? "close" : "bell"),
        t(given ? "consent.stop" : "consent.agree"),
      ),
    );
  }

  /**
   * @param {boolean} given
   * @param {Consent} shown the words that were on the page
   */
  async #say(given, shown) {
    const button = this.#consent.querySelector("button");
    button?.setAttribute("disabled", "");
    this.#consent.querySelector(".trouble")?.remove();
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const json = given ? { given, text_version: shown.text.version, time_zone: zone } : { given };
    try {
      this.#showConsent(await this.api.json(CONSENT, { method: "PUT", json }));
      say(t(given ? "consent.given" : "consent.ended"));
      this.#consent.querySelector("button")?.focus();
    } catch (problem) {
      button?.removeAttribute("disabled");
      // Other words are in force by now: they have to be read first.
      if (problem.code === "consent-text-changed") await this.#askConsent();
      this.#consent.append(trouble(explain(problem)));
    }
  }

  // What was told

  async #refresh() {
    try {
      const { items, next } = await this.api.page(TOLD, { limit: PAGE });
      for (const item of items) this.#told.set(item.id, item);
      if (!this.#loaded) this.#next = next;
      this.#loaded = true;
      this.#draw();
    } catch (problem) {
      if (!this.#loaded) showTrouble(this.#none, problem, () => this.#refresh().catch(() => {}));
      throw problem;
    }
  }

  /** @param {AppNotification} notification */
  #take(notification) {
    if (!("title" in notification)) {
      this.#refresh().catch(() => {});
      return;
    }
    const fresh = !this.#told.has(notification.id);
    this.#told.set(notification.id, notification);
    if (fresh) say(`${notification.title}. ${notification.body}`);
  }

  async #older() {
    try {
      const { items, next } = await this.api.page(TOLD, { limit: PAGE, cursor: this.#next });
      for (const item of items) this.#told.set(item.id, item);
      this.#next = next;
      this.#draw();
      if (items.length) document.getElementById(`told-${items[0].id}`)?.focus({ preventScroll: true });
    } catch (problem) {
      this.#more.append(trouble(explain(problem)));
    }
  }

  #draw() {
    if (this.#closed.signal.aborted || !this.#loaded) return;
    const newest = [...this.#told.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    put(this.#none, !newest.length && emptyState("bell", t("told.none"), t("told.noneText")));
    put(
      this.#list,
      newest.map((item) =>
        alertRow(
          { id: `told-${item.id}`, tabindex: "-1" },
          "heart",
          { title: item.title, text: item.body, at: item.created_at },
          [
            h("span", {}, item.branch_id),
            ["no_device", "suppressed", "expired", "failed"].includes(item.state) && h("span", {}, t("told.onlyHere")),
          ],
        ),
      ),
    );
    put(
      this.#more,
      this.#next && h("button", { class: "secondary", type: "button", onclick: () => this.#older() }, t("action.more")),
    );
  }

  #tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }
}
