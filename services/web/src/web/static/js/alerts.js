// What goes wrong with the equipment, as it happens.

import { explain } from "./api.js";
import { h, put, say } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { Live, Meanwhile } from "./live.js";
import { ago, has, moment, t, word } from "./texts.js";

const SHOWN = 20;
const MOST_PAGES = 5;
const SEEN_KEY = "laundry.alerts-seen";

function keyOf(machine) {
  return `${machine.branch_id}/${machine.id}`;
}

/** What is wrong with a machine, in words; empty if nothing is known. */
function faultOf(machine) {
  const [fault] = machine.open_faults ?? [];
  if (!fault) return "";
  const key = `cause.${fault.cause}`;
  const what = fault.fault_code ?? (fault.metric && word("metric", fault.metric));
  return [has(key) ? t(key) : fault.cause, what].filter(Boolean).join(" · ");
}

/** Equipment faults of the owner's branches: new ones on top of everything, all of them in a list. */
export class Alerts {
  #known = new Map();
  #faulty = null;
  #list = h("ol", { class: "alerts" });
  #trouble = h("div", {});
  #loaded = false;

  /** `onCount(n)` is told how many were not seen yet, `onState` how the live connection is. */
  constructor(api, { onCount, onState }) {
    Object.assign(this, { api, onCount });
    this.seen = recall(`${SEEN_KEY}.${api.session.sub}`) ?? "";
    this.banner = h("div", { class: "banners" });
    this.element = h("div", {}, this.#trouble, this.#list, h("p", { class: "hint" }, t("alerts.hint")));
    this.live = new Live(api, "/api/notification/notifications/stream", {
      refresh: () => this.#refresh(),
      onChange: (notification) => this.#take(notification),
      onState,
    }).start();
    this.#refresh().catch(() => {});
  }

  close() {
    this.live.stop();
  }

  tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }

  /** Show the machines that are in fault now, of which nobody may have been notified (without a phone, nobody is). */
  showFaulty(machines) {
    this.#faulty = machines;
    this.#draw();
  }

  async #refresh() {
    try {
      const { items } = await this.api.page("/api/notification/notifications", { limit: SHOWN });
      for (const item of items) this.#add(item);
      this.#loaded = true;
      put(this.#trouble);
      this.#draw();
    } catch (problem) {
      if (!this.#loaded) put(this.#trouble, trouble(explain(problem), () => this.#refresh().catch(() => {})));
      throw problem;
    }
  }

  async #take(notification) {
    if ("title" in notification && "kind" in notification) this.#add(notification);
    else return this.#refresh().catch(() => {});
    this.#draw();
  }

  #add(notification) {
    if (notification.kind !== "equipment_fault") return;
    const fresh = !this.#known.has(notification.id);
    this.#known.set(notification.id, notification);
    // Ids rise with time (UUIDv7).
    if (fresh && notification.id > this.seen) this.#announce(notification);
  }

  #announce(notification) {
    const banner = h(
      "div",
      { class: "banner", "data-id": notification.id },
      icon("alert"),
      h("div", {}, h("p", { class: "banner-title" }, notification.title), h("p", {}, notification.body)),
      h(
        "button",
        { type: "button", "aria-label": t("alerts.dismiss", { title: notification.title }), onclick: () => this.#dismiss(notification.id) },
        t("alerts.gotIt"),
      ),
    );
    this.banner.prepend(banner);
    say(`${t("alerts.title")}: ${notification.title}. ${notification.body}`, { urgent: true });
    navigator.vibrate?.([180, 90, 180]);
    this.#count();
  }

  #dismiss(id) {
    if (id > this.seen) {
      this.seen = id;
      remember(`${SEEN_KEY}.${this.api.session.sub}`, id);
    }
    // Older ones were on the screen too.
    for (const banner of [...this.banner.children]) if (banner.dataset.id <= id) banner.remove();
    this.#count();
  }

  #count() {
    this.onCount(this.banner.children.length);
  }

  #draw() {
    const newest = [...this.#known.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, SHOWN);
    const faulty = this.#faulty ?? [];
    put(
      this.#list,
      faulty.slice(0, SHOWN).map((machine) => this.#openRow(machine)),
      faulty.length > SHOWN && h("li", { class: "nothing" }, t("alerts.moreOpen", { count: faulty.length - SHOWN })),
      newest.map((item) =>
        h(
          "li",
          {},
          icon("bell"),
          h(
            "div",
            {},
            h("p", { class: "alert-title" }, item.title),
            h("p", {}, item.body),
            h("p", { class: "meta" }, h("time", { datetime: item.created_at, title: moment(item.created_at) }, ago(item.created_at))),
          ),
        ),
      ),
      this.#loaded && this.#faulty?.length === 0 && !newest.length && h("li", { class: "nothing" }, t("alerts.none")),
    );
  }

  #openRow(machine) {
    const since = machine.open_faults?.[0]?.detected_at;
    const many = this.api.session.branches.length > 1;
    return h(
      "li",
      { "data-state": "faulty" },
      icon("alert"),
      h(
        "div",
        {},
        h("p", { class: "alert-title" }, t("alerts.open", { what: `${word("equipment", machine.kind)} ${machine.id}` })),
        h("p", {}, faultOf(machine)),
        h("p", { class: "meta" }, since && h("time", { datetime: since, title: moment(since) }, ago(since)), many && h("span", {}, machine.branch_id)),
      ),
    );
  }
}

/** The machines of the owner's branches and how they are. */
export class Equipment {
  #known = new Map();
  #meanwhile = new Meanwhile();
  #list = h("ul", { class: "equipment" });
  #trouble = h("div", {});
  #loaded = false;

  /** `onFaulty(machines)` is told which are in fault, `onState` how the live connection is. */
  constructor(api, { onFaulty, onState }) {
    Object.assign(this, { api, onFaulty });
    this.element = h("div", {}, this.#trouble, this.#list);
    this.live = new Live(api, "/api/monitoring/equipment/stream", {
      refresh: () => this.#refresh(),
      onChange: (machine) => this.#take(machine),
      onState,
    }).start();
    this.#refresh().catch(() => {});
  }

  close() {
    this.live.stop();
  }

  async #refresh() {
    try {
      await this.#meanwhile.during(
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
      if (!this.#loaded) put(this.#trouble, trouble(explain(problem), () => this.#refresh().catch(() => {})));
      throw problem;
    }
  }

  async #take(machine) {
    if (!machine.gone && !("state" in machine && "kind" in machine)) return this.#refresh().catch(() => {});
    this.#meanwhile.note(machine, keyOf(machine));
    this.#keep(machine);
    this.#draw();
  }

  #keep(machine) {
    if (machine.gone) this.#known.delete(keyOf(machine));
    else this.#known.set(keyOf(machine), machine);
  }

  async #fetchAll() {
    const machines = [];
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const { items, next } = await this.api.page("/api/monitoring/equipment", { limit: 200, cursor });
      machines.push(...items);
      cursor = next;
      if (!next) break;
    }
    return machines;
  }

  #draw() {
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
      this.#loaded && !machines.length && h("li", { class: "nothing" }, t("equipment.none")),
    );
  }

  #condition(machine) {
    const fault = faultOf(machine);
    if (fault) return h("span", {}, fault);
    const heard = machine.last_sample?.received_at;
    return heard ? h("span", {}, t("equipment.heard", { time: ago(heard) })) : null;
  }
}
