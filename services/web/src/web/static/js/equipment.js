// The machines of the owner's branches and how they are.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live, ReconciledFetch } from "./live.js";
import { Rows } from "./rows.js";
import { ago, has, t, word } from "./texts.js";

// 10,000 machines; an owner has one page of them.
const MOST_PAGES = 50;

/** @param {Machine} machine */
function keyOf(machine) {
  return `${machine.branch_id}/${machine.id}`;
}

/**
 * What is wrong with a machine, in words; empty if nothing is known.
 *
 * @param {{open_faults?: Fault[]}} machine
 */
export function faultOf(machine) {
  const [fault] = machine.open_faults ?? [];
  if (!fault) return "";
  const key = `cause.${fault.cause}`;
  const what = fault.fault_code ?? (fault.metric && word("metric", fault.metric));
  return [has(key) ? t(key) : fault.cause, what].filter(Boolean).join(" · ");
}

/**
 * "Washer washer-3".
 *
 * @param {{id: string, kind: string}} machine
 */
export function nameOf(machine) {
  return `${word("equipment", machine.kind)} ${machine.id}`;
}

/** Every machine, those in fault first. */
export class Equipment {
  /** @type {Map<string, Machine>} */
  #known = new Map();
  #fetches = new ReconciledFetch();
  #list = h("ul", { class: "equipment" });
  #rows = new Rows(this.#list);
  #trouble = h("div", {});
  #loaded = false;

  /**
   * `onFaulty(machines)` is told which are in fault, `onState` how the live connection is.
   *
   * @param {import("./api.js").Api} api
   * @param {{onFaulty(machines: Machine[]): void, onState(state: StreamState): void}} to
   */
  constructor(api, { onFaulty, onState }) {
    this.api = api;
    this.onFaulty = onFaulty;
    this.element = h("div", {}, this.#trouble, this.#list);
    this.live = new Live(api, "/api/monitoring/equipment/stream", {
      refresh: () => this.#refresh(),
      onChange: (machine) => this.#take(machine),
      draw: () => this.#draw(),
      onState,
    }).start();
    this.ready = this.#refresh().catch(() => {});
  }

  close() {
    this.live.stop();
  }

  /** Update how long ago each was heard of. */
  tick() {
    this.#show();
  }

  async #refresh() {
    try {
      await this.#fetches.during(
        () => this.#fetchAll(),
        (machines, changes) => {
          this.#known = new Map(machines.map((machine) => [keyOf(machine), machine]));
          for (const machine of changes.values()) this.#keep(machine);
        },
      );
      this.#loaded = true;
      put(this.#trouble);
      this.#draw();
    } catch (problem) {
      if (!this.#loaded) showTrouble(this.#trouble, problem, () => this.#refresh().catch(() => {}));
      throw problem;
    }
  }

  /** @param {Machine} machine */
  async #take(machine) {
    if (!machine.gone && !("state" in machine && "kind" in machine)) return this.#refresh().catch(() => {});
    this.#fetches.note(machine, keyOf(machine));
    this.#keep(machine);
  }

  /** @param {Machine} machine */
  #keep(machine) {
    if (machine.gone) this.#known.delete(keyOf(machine));
    else this.#known.set(keyOf(machine), machine);
  }

  async #fetchAll() {
    /** @type {Machine[]} */
    const machines = [];
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const { items, next } = await this.api.page("/api/monitoring/equipment", { limit: 200, cursor });
      machines.push(...items);
      // Of very many, the first are shown while the others are on their way.
      if (!this.#loaded && !page && next) {
        for (const machine of items) this.#keep(machine);
        this.#draw();
      }
      cursor = next;
      if (!next) break;
    }
    return machines;
  }

  #draw() {
    if (this.#loaded) this.onFaulty(this.#sorted().filter((machine) => machine.state !== "ok"));
    this.#show();
  }

  #sorted() {
    /** @param {Machine} machine */
    const rank = (machine) => `${machine.state === "ok" ? 1 : 0} ${machine.branch_id} ${machine.id}`;
    return [...this.#known.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  #show() {
    const rows = this.#sorted().map((machine) => {
      const condition = conditionOf(machine);
      const version = `${machine.state} ${machine.kind} ${condition}`;
      return { key: keyOf(machine), version, make: () => this.#row(machine, condition) };
    });
    const none = () => h("li", { class: "nothing" }, emptyState("machine", t("equipment.none")));
    if (this.#loaded && !rows.length) rows.push({ key: "", version: "", make: none });
    this.#rows.show(rows);
  }

  /**
   * @param {Machine} machine
   * @param {string} condition
   */
  #row({ branch_id: branch, id, kind, state }, condition) {
    const many = this.api.session.branches.length > 1;
    return h(
      "li",
      { "data-state": state },
      icon("machine"),
      h(
        "div",
        {},
        h("p", { class: "machine" }, word("equipment", kind), h("span", {}, id)),
        h("p", { class: "meta" }, condition && h("span", {}, condition), many && h("span", {}, branch)),
      ),
      h("p", { class: "lamp" }, t(state === "ok" ? "equipment.ok" : "equipment.faulty")),
    );
  }
}

/**
 * What is wrong with a machine, else when it was heard of; empty if it never was.
 *
 * @param {Machine} machine
 */
function conditionOf(machine) {
  const heard = machine.last_sample?.received_at;
  return faultOf(machine) || (heard ? t("equipment.heard", { time: ago(heard) }) : "");
}
