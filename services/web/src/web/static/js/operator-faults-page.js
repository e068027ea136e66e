// The operator's page of faults: those that nobody at a branch has taken come first.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { faultOf, nameOf } from "./equipment.js";
import { FaultHandling, faultRow } from "./fault-handling.js";
import { connectionLine, showTrouble } from "./frame.js";
import { Live } from "./live.js";
import { t } from "./texts.js";

const SHOWN = 100;
const CLOCK_MS = 30000;

export class FaultsPage {
  /** @type {HandledFault[]} */
  #faults = [];
  #loaded = false;
  #more = false;
  #error = h("div");
  #list = h("ol", { class: "alerts" });
  #none = h("div");
  #connection = connectionLine();
  #asked = new URLSearchParams(location.search).get("fault");

  /** @param {SignedIn} signedIn */
  constructor({ api }) {
    this.api = api;
    this.handling = new FaultHandling(api, () => this.#draw());
    this.element = h(
      "div",
      { class: "faults" },
      h("h1", {}, t("faults.title")),
      h("p", { class: "hint" }, t("faults.hint")),
      this.#connection.element,
      this.#error,
      this.#list,
      this.#none,
    );
    this.live = new Live(api, "/api/monitoring/equipment/stream", {
      refresh: () => this.#refresh(),
      onState: (state) => this.#connection.set(state),
    }).start();
    this.clock = setInterval(() => this.#draw(), CLOCK_MS);
    this.ready = this.#refresh().catch(() => {});
  }

  close() {
    clearInterval(this.clock);
    this.live.stop();
  }

  async #refresh() {
    try {
      const asked = ["escalated", "open", "acknowledged"].map((handling) =>
        this.api.page("/api/monitoring/faults", { more: { handling }, limit: SHOWN }),
      );
      const pages = await Promise.all(asked);
      this.#faults = pages.flatMap((page) => page.items);
      this.#more = pages.some((page) => page.next);
      this.#loaded = true;
      put(this.#error);
      this.#draw();
    } catch (problem) {
      if (!this.#loaded) showTrouble(this.#error, problem, () => this.#refresh().catch(() => {}));
      throw problem;
    }
  }

  #draw() {
    if (!this.#loaded) return;
    put(
      this.#list,
      this.#faults.map((fault) => this.#row(fault)),
      this.#more && h("li", { class: "nothing" }, t("faults.more")),
    );
    this.#list.hidden = !this.#faults.length;
    put(this.#none, !this.#faults.length && emptyState("machine", t("faults.none")));
  }

  /** @param {HandledFault} fault */
  #row(fault) {
    const machine = { id: fault.equipment_id, kind: fault.kind ?? "other", open_faults: [fault] };
    const what = nameOf(machine);
    return faultRow(
      {
        class: fault.id === this.#asked && "asked",
        "data-state": fault.handling === "acknowledged" ? "taken" : "faulty",
      },
      { what, how: faultOf(machine), since: fault.detected_at, branch: fault.branch_id },
      this.handling.of([fault], what),
    );
  }
}
