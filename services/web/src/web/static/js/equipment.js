// The machines of the owner's branches and how they are.

import { h, put } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble } from "./frame.js";
import { icon } from "./icons.js";
import { Live, ReconciledFetch } from "./live.js";
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
      onState,
    }).start();
    this.ready = this.#refresh().catch(() => {});
  }

  close() {
    this.live.stop();
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
    this.#draw();
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
    /** @param {Machine} machine */
    const rank = (machine) => `${machine.state === "ok" ? 1 : 0} ${machine.branch_id} ${machine.id}`;
    const machines = [...this.#known.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
    const many = this.api.session.branches.length > 1;
    if (this.#loaded) this.onFaulty(machines.filter((machine) => machine.state !== "ok"));
    put(
      this.#list,
      machines.map((machine) =>
        h(
          "li",
          { "data-state": machine.state },
          icon("machine"),
          h(
            "div",
            {},
            h("p", { class: "machine" }, word("equipment", machine.kind), h("span", {}, machine.id)),
            h("p", { class: "meta" }, this.#condition(machine), many && h("span", {}, machine.branch_id)),
          ),
          h("p", { class: "lamp" }, t(machine.state === "ok" ? "equipment.ok" : "equipment.faulty")),
        ),
      ),
      this.#loaded && !machines.length && h("li", { class: "nothing" }, emptyState("machine", t("equipment.none"))),
    );
  }

  /** @param {Machine} machine */
  #condition(machine) {
    const fault = faultOf(machine);
    if (fault) return h("span", {}, fault);
    const heard = machine.last_sample?.received_at;
    return heard ? h("span", {}, t("equipment.heard", { time: ago(heard) })) : null;
  }
}
