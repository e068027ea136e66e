// The owner's page: what waits for a yes, what was washed, and, whichever of these is open, what is broken.

import { Alerts } from "./alerts.js";
import { arriving } from "./arrival.js";
import { h, put } from "./dom.js";
import { Equipment } from "./equipment.js";
import { connectionLine } from "./frame.js";
import { LazyParts } from "./lazy-parts.js";
import { Reach } from "./reach.js";
import { t } from "./texts.js";
import { Views } from "./views.js";

const CLOCK_MS = 30000;
/** @type {Record<string, () => Promise<import("./views.js").ViewOf>>} */
const PARTS = {
  confirm: async () => (await import("./confirm-view.js")).ConfirmView,
  history: async () => (await import("./history-view.js")).HistoryView,
  washed: async () => (await import("./washed-view.js")).WashedView,
  offer: async () => (await import("./offer-view.js")).OfferView,
  people: async () => (await import("./people-page.js")).PeoplePage,
  me: async () => (await import("./person-view.js")).PersonView,
};
const VIEWS = new LazyParts(PARTS);

export class OwnerPage {
  #closed = new AbortController();
  #alertCount = h("span", { class: "count-badge alarm", hidden: true });
  #connection = connectionLine();
  /** @type {Map<string, StreamState>} */
  #states = new Map();
  #unseen = 0;

  /** @param {SignedIn} signedIn */
  constructor(signedIn) {
    const { api } = signedIn;
    this.alerts = new Alerts(api, {
      onCount: (count) => this.#showAlertCount(count),
      onState: (state) => this.#showState("alerts", state),
    });
    // Before a view puts its own name into the address.
    this.alerts.show(Object.fromEntries(new URLSearchParams(location.search)));
    this.reach = new Reach(api);
    this.equipment = new Equipment(api, {
      onFaulty: (machines) => this.alerts.showFaulty(machines),
      onState: (state) => this.#showState("equipment", state),
    });
    this.views = new Views("owner", VIEWS, {
      signedIn,
      onState: (state) => this.#showState("tasks", state),
      onChange: () => this.#changed(),
    });
    this.element = h(
      "div",
      { class: "owner" },
      this.alerts.banner,
      h("div", { class: "owner-view" }, this.views.nav, this.#connection.element, this.views.stage),
      h(
        "aside",
        { class: "watch" },
        h(
          "section",
          { "aria-labelledby": "alerts-title" },
          h("h2", { id: "alerts-title" }, t("alerts.title"), this.#alertCount),
          this.alerts.element,
        ),
        this.reach.element,
        h(
          "section",
          { "aria-labelledby": "equipment-title" },
          h("h2", { id: "equipment-title" }, t("equipment.title")),
          this.equipment.element,
        ),
      ),
    );
    // An alarm comes on top of everything.
    arriving(this.element, [this.views.ready, this.alerts.ready, this.equipment.ready, this.reach.ready]);
    const { signal } = this.#closed;
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    // The worker says which alert was tapped.
    navigator.serviceWorker?.addEventListener("message", ({ data }) => this.alerts.show(data ?? {}), { signal });
    const clock = setInterval(() => {
      this.alerts.tick();
      this.equipment.tick();
    }, CLOCK_MS);
    signal.addEventListener("abort", () => clearInterval(clock));
    this.#showConnection();
  }

  static ready() {
    return VIEWS.fetch(VIEWS.asked);
  }

  close() {
    this.#closed.abort();
    this.views.close();
    this.alerts.close();
    this.reach.close();
    this.equipment.close();
  }

  #changed() {
    this.#states.delete("tasks");
    document.title = this.title;
    this.#showConnection();
  }

  #showConnection() {
    const states = [...this.#states.values()];
    /** @type {StreamState[]} */
    const bad = ["away", "crowded"];
    const worst = bad.find((state) => states.includes(state)) ?? "live";
    this.#connection.set(navigator.onLine ? worst : "offline");
  }

  /**
   * @param {string} of
   * @param {StreamState} state
   */
  #showState(of, state) {
    this.#states.set(of, state);
    this.#showConnection();
  }

  /** @param {number} count */
  #showAlertCount(count) {
    put(this.#alertCount, count);
    this.#alertCount.hidden = count === 0;
    this.#unseen = count;
    document.title = this.title;
  }

  get title() {
    const name = this.views?.title ?? "";
    return this.#unseen ? `(${this.#unseen}) ${t("alerts.title")} · ${name}` : name;
  }
}
