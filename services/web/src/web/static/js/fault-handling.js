// Who takes care of a fault: what is said of it, and the button of who does.

import { alertRow } from "./alert-row.js";
import { explain } from "./api.js";
import { h, say } from "./dom.js";
import { icon } from "./icons.js";
import { ago, moment, t } from "./texts.js";

const NEWEST = 100;

/** @param {Fault} fault */
export function isUnanswered(fault) {
  return fault.handling === "open" || fault.handling === "escalated";
}

/**
 * The row of something that is in fault.
 *
 * @param {Attributes} attributes
 * @param {{what: string, how: string, since?: string, branch: string | false}} fault
 * @param {Child[]} handling
 */
export function faultRow(attributes, { what, how, since, branch }, handling) {
  const said = { title: t("alerts.open", { what }), text: how, at: since };
  return alertRow(attributes, "alert", said, [branch && h("span", {}, branch)], handling);
}

/** Says and changes who takes care of faults. */
export class FaultHandling {
  /** @type {Set<string>} */
  #asking = new Set();
  /** @type {Map<string, string>} */
  #troubles = new Map();
  /** @type {Map<string, Fault>} */
  #closed = new Map();
  /** @type {Set<string>} */
  #lookedUp = new Set();

  /**
   * `onChange()` is called when what is said has changed.
   *
   * @param {import("./api.js").Api} api
   * @param {() => void} onChange
   */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
  }

  /**
   * Ask what became of faults that were told and are over, once of each. Best effort: without it the list says less.
   *
   * @param {{told: string[], open: Set<string>}} faults
   */
  async lookUp({ told, open }) {
    // News of one may come before it is known as open.
    for (const id of open) this.#lookedUp.delete(id);
    const over = told.filter((id) => !open.has(id) && !this.#lookedUp.has(id));
    if (!over.length) return;
    for (const id of over) this.#lookedUp.add(id);
    try {
      const { items } = await this.api.page("/api/monitoring/faults", { more: { handling: "closed" }, limit: NEWEST });
      this.#closed = new Map(items.map((fault) => [fault.id, fault]));
      this.onChange();
    } catch {
      // The next news asks again.
      for (const id of over) this.#lookedUp.delete(id);
    }
  }

  /**
   * What is said of the open faults of one machine, with the button for those that nobody has taken.
   *
   * @param {Fault[]} faults
   * @param {string} what the machine's name
   */
  of(faults, what) {
    const unanswered = faults.filter(isUnanswered);
    const taken = faults.find((fault) => fault.handling === "acknowledged");
    if (!unanswered.length) return taken ? [this.#takenLine(taken)] : [];
    const [first] = unanswered;
    const passedOn = Math.max(...unanswered.map((fault) => fault.escalation));
    const trouble = this.#troubles.get(first.id);
    return [
      h(
        "p",
        { class: `handling ${passedOn ? "escalated" : "untaken"}` },
        passedOn ? t("handling.escalated", { count: passedOn }) : t("handling.open"),
      ),
      trouble && h("p", { class: "handling untaken", role: "alert" }, trouble),
      h(
        "button",
        {
          type: "button",
          class: "secondary take",
          disabled: this.#asking.has(first.id),
          "aria-label": t("handling.takeOf", { what }),
          onclick: () => this.#take(unanswered, what),
        },
        t("handling.take"),
      ),
    ];
  }

  /**
   * What is said of a fault that is over; nothing while it is not, or if it is not known.
   *
   * @param {string | undefined} id
   */
  closingOf(id) {
    const fault = id === undefined ? undefined : this.#closed.get(id);
    if (!fault?.cleared_at) return null;
    const who = fault.acknowledged_by;
    const text = who ? t("handling.closedBy", { who: this.#name(who) }) : t("handling.closed");
    return h("span", { class: "closing", title: moment(fault.cleared_at) }, icon("check"), text);
  }

  /** @param {Fault} fault */
  #takenLine(fault) {
    const since = fault.acknowledged_at;
    return h(
      "p",
      { class: "handling taken" },
      icon("check"),
      h("span", {}, this.#whoHas(fault)),
      since && h("time", { class: "meta", datetime: since, title: moment(since) }, ago(since)),
    );
  }

  /** @param {Fault} fault */
  #whoHas({ acknowledged_by: who }) {
    return who === this.api.session.sub ? t("handling.mine") : t("handling.taken", { who: who ?? "" });
  }

  /** @param {string} who */
  #name(who) {
    return who === this.api.session.sub ? t("handling.you") : who;
  }

  /**
   * @param {Fault[]} faults
   * @param {string} what
   */
  async #take(faults, what) {
    const [{ id: first }] = faults;
    this.#troubles.delete(first);
    for (const { id } of faults) this.#asking.add(id);
    this.onChange();
    try {
      for (const fault of faults) {
        const path = `/api/monitoring/faults/${encodeURIComponent(fault.id)}/acknowledgement`;
        // The machine's stream says the same a moment later, here and to everybody else.
        Object.assign(fault, await this.api.json(path, { method: "POST" }));
      }
      say(t("handling.sayTaken", { what, said: this.#whoHas(faults[0]) }));
    } catch (problem) {
      this.#troubles.set(first, explain(problem).text);
    }
    for (const { id } of faults) this.#asking.delete(id);
    this.onChange();
  }
}
