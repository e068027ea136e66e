// What goes wrong with the equipment, as it happens.

import { alertRow } from "./alert-row.js";
import { arrivalOf } from "./arrival.js";
import { now } from "./clock.js";
import { h, put, say } from "./dom.js";
import { faultOf, nameOf } from "./equipment.js";
import { FaultHandling, faultRow, isUnanswered } from "./fault-handling.js";
import { showTrouble } from "./frame.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { Live } from "./live.js";
import { ago, t } from "./texts.js";

const SHOWN = 20;
// A notification follows its fault, and says more.
const NOTIFIED_WITHIN_MS = 5000;
const CLOCKS_APART_MS = 60000;
const SEEN_KEY = "laundry.alerts-seen";

/** Equipment faults of the owner's branches: new ones on top of everything, all of them in a list. */
export class Alerts {
  /** @type {Map<string, AppNotification>} */
  #known = new Map();
  /** What is not announced yet. @type {AppNotification[]} */
  #fresh = [];
  /** @type {Map<string, {element: HTMLElement, ofFault: boolean, fault?: string}>} */
  #banners = new Map();
  /** @type {Machine[] | null} */
  #faulty = null;
  #list = h("ol", { class: "alerts" });
  #trouble = h("div", {});
  #loaded = false;
  #later = 0;
  /** What somebody tapped: an open fault, and the rows of what was told of it. @type {string | null} */
  #asked = null;
  #told = "";
  #pointed = true;

  /**
   * `onCount(n)` is told how many were not seen yet, `onState` how the live connection is.
   *
   * @param {import("./api.js").Api} api
   * @param {{onCount(count: number): void, onState(state: StreamState): void}} to
   */
  constructor(api, { onCount, onState }) {
    this.api = api;
    this.onCount = onCount;
    this.handling = new FaultHandling(api, () => this.#draw());
    this.seen = recall(`${SEEN_KEY}.${api.session.sub}`) ?? "";
    this.banner = h("div", { class: "banners" });
    this.element = h("div", {}, this.#trouble, this.#list, h("p", { class: "hint" }, t("alerts.hint")));
    this.live = new Live(api, "/api/notification/notifications/stream", {
      refresh: () => this.#refresh(),
      onChange: (notification) => this.#take(notification),
      draw: () => this.#showNews(),
      onState,
    }).start();
    this.ready = this.#refresh().catch(() => {});
  }

  close() {
    clearTimeout(this.#later);
    this.live.stop();
  }

  tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }

  /**
   * Show the machines that are in fault now, of which nobody may have been notified (without a phone, nobody is).
   *
   * @param {Machine[]} machines
   */
  showFaulty(machines) {
    this.#faulty = machines;
    const faults = machines.flatMap((machine) => machine.open_faults);
    this.#forgetTaken(new Set(faults.filter((fault) => !isUnanswered(fault)).map(({ id }) => id)));
    this.#showNews();
  }

  /**
   * What somebody takes care of needs no banner.
   *
   * @param {Set<string>} taken
   */
  #forgetTaken(taken) {
    for (const [id, { fault }] of this.#banners) if (fault && taken.has(fault)) this.#takeDown(id);
  }

  /**
   * Show what somebody tapped, once it is there: a fault that is open still, else what was told of it.
   *
   * @param {{alert?: string, fault?: string}} wanted
   */
  show({ alert, fault }) {
    if (!alert && !fault) return;
    this.#asked = fault ?? null;
    const told = [alert && `[data-id="${CSS.escape(alert)}"]`, fault && `[data-fault="${CSS.escape(fault)}"]`];
    this.#told = told.filter(Boolean).join();
    this.#pointed = false;
    this.#draw();
  }

  #pointOut() {
    if (this.#pointed || !this.#loaded || !this.#faulty) return;
    const open = this.#asked && this.#row(`[data-faults~="${CSS.escape(this.#asked)}"]`);
    const row = open || this.#row(this.#told);
    // What is not here yet comes with the next news.
    if (!row) return;
    const arrival = arrivalOf(row);
    if (arrival) {
      arrival.then(() => this.#pointOut());
      return;
    }
    this.#pointed = true;
    const address = new URL(location.href);
    for (const name of ["alert", "fault"]) address.searchParams.delete(name);
    history.replaceState(null, "", address);
    (row.querySelector("button") ?? row).focus({ preventScroll: true });
    if (this.#asked && !open) say(t("handling.over"));
    // When everything above it is in place.
    requestAnimationFrame(() => row.scrollIntoView({ block: "center" }));
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement | null}
   */
  #row(selector) {
    return this.#list.querySelector(selector);
  }

  async #refresh() {
    try {
      const { items } = await this.api.page("/api/notification/notifications", { limit: SHOWN });
      for (const item of items) this.#add(item);
      this.#loaded = true;
      put(this.#trouble);
      this.#showNews();
    } catch (problem) {
      if (!this.#loaded) showTrouble(this.#trouble, problem, () => this.#refresh().catch(() => {}));
      throw problem;
    }
  }

  /** @param {AppNotification} notification */
  async #take(notification) {
    if ("title" in notification && "kind" in notification) this.#add(notification);
    else await this.#refresh().catch(() => {});
  }

  #showNews() {
    this.#draw();
    for (const notification of this.#fresh.splice(0)) this.#announce(notification);
    this.#announceFaults();
    if (!this.#loaded || !this.#faulty) return;
    const open = this.#faulty.flatMap((machine) => machine.open_faults.map(({ id }) => id));
    this.handling.lookUp({ told: this.#newest().flatMap((item) => item.data?.fault_id ?? []), open: new Set(open) });
  }

  #newest() {
    return [...this.#known.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, SHOWN);
  }

  /** @param {AppNotification} notification */
  #add(notification) {
    if (notification.kind !== "equipment_fault") return;
    const fresh = !this.#known.has(notification.id);
    this.#known.set(notification.id, notification);
    // Ids rise with time (UUIDv7).
    if (fresh && notification.id > this.seen) this.#fresh.push(notification);
  }

  /** A banner for each open fault that no notification tells of; a notification that comes takes its place. */
  #announceFaults() {
    if (!this.#loaded || !this.#faulty) return;
    clearTimeout(this.#later);
    const notified = this.#lastNotified();
    const untold = this.#faulty.filter((machine) => this.#isUntold(machine, notified)).slice(0, SHOWN);
    const wanted = new Map(untold.map((machine) => [machine.open_faults[0].id, machine]));
    for (const [id, { ofFault }] of this.#banners) if (!wanted.delete(id) && ofFault) this.#takeDown(id);
    let wait = Infinity;
    for (const [id, machine] of wanted) {
      const left = toldAt(machine.open_faults[0]) + NOTIFIED_WITHIN_MS - now();
      if (left > 0) wait = Math.min(wait, left, NOTIFIED_WITHIN_MS);
      else
        this.#announce(
          { id, title: t("alerts.open", { what: nameOf(machine) }), body: faultOf(machine) },
          { ofFault: true },
        );
    }
    if (wait < Infinity) this.#later = setTimeout(() => this.#announceFaults(), wait);
    this.#count();
  }

  /** When the newest notification of each branch was made, in milliseconds. */
  #lastNotified() {
    /** @type {Map<string, number>} */
    const newest = new Map();
    for (const { branch_id: branch, created_at: at } of this.#known.values()) {
      newest.set(branch, Math.max(newest.get(branch) ?? 0, Date.parse(at)));
    }
    return newest;
  }

  /**
   * @param {Machine} machine
   * @param {Map<string, number>} notified
   */
  #isUntold(machine, notified) {
    const [fault] = machine.open_faults ?? [];
    const told = fault && toldAt(fault);
    // One that comes and goes is held back, here too.
    if (!told || fault.id <= this.seen || !isUnanswered(fault)) return false;
    return (notified.get(machine.branch_id) ?? 0) <= told - CLOCKS_APART_MS;
  }

  /**
   * @param {{id: string, title: string, body: string, data?: {fault_id?: string}}} alert
   */
  #announce({ id, title, body, data }, { ofFault = false } = {}) {
    const banner = h(
      "div",
      { class: "banner" },
      icon("alert"),
      h("div", {}, h("p", { class: "banner-title" }, title), h("p", {}, body)),
      h(
        "button",
        { type: "button", "aria-label": t("alerts.dismiss", { title }), onclick: () => this.#dismiss(id) },
        t("alerts.gotIt"),
      ),
    );
    this.#banners.set(id, { element: banner, ofFault, fault: ofFault ? id : data?.fault_id });
    this.banner.prepend(banner);
    say(`${t("alerts.title")}: ${title}. ${body}`, { urgent: true });
    // A browser lets a page do so once somebody has touched it.
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([180, 90, 180]);
    this.#count();
  }

  /** @param {string} id */
  #dismiss(id) {
    if (id > this.seen) {
      this.seen = id;
      remember(`${SEEN_KEY}.${this.api.session.sub}`, id);
    }
    // Older ones were on the screen too.
    for (const each of this.#banners.keys()) if (each <= id) this.#takeDown(each);
    this.#count();
  }

  #count() {
    this.onCount(this.#banners.size);
  }

  /** @param {string} id */
  #takeDown(id) {
    this.#banners.get(id)?.element.remove();
    this.#banners.delete(id);
  }

  #draw() {
    const newest = this.#newest();
    const faulty = [...(this.#faulty ?? [])].sort((a, b) => this.#urgency(b) - this.#urgency(a));
    const held = this.#held();
    put(
      this.#list,
      faulty.slice(0, SHOWN).map((machine) => this.#openRow(machine)),
      faulty.length > SHOWN && h("li", { class: "nothing" }, t("alerts.moreOpen", { count: faulty.length - SHOWN })),
      newest.map((item) =>
        alertRow(
          { "data-id": item.id, "data-fault": item.data?.fault_id, tabindex: "-1" },
          "bell",
          { title: item.title, text: item.body, at: item.created_at },
          [this.handling.closingOf(item.data?.fault_id)],
        ),
      ),
      this.#loaded && this.#faulty?.length === 0 && !newest.length && h("li", { class: "nothing" }, t("alerts.none")),
    );
    // A keyboard's place is not lost to news.
    if (held) this.#row(held)?.focus({ preventScroll: true });
    this.#pointOut();
  }

  /** What has the focus, in words that find it again. */
  #held() {
    // WebKit matches :focus only in the window in front.
    const row = this.#list.contains(document.activeElement) ? document.activeElement?.closest("li") : null;
    const fault = row?.getAttribute("data-faults")?.split(" ")[0];
    const id = row?.getAttribute("data-id");
    if (fault) return `[data-faults~="${CSS.escape(fault)}"] button`;
    return id ? `[data-id="${CSS.escape(id)}"]` : "";
  }

  /** @param {Machine} machine */
  #isAsked(machine) {
    return machine.open_faults.some(({ id }) => id === this.#asked);
  }

  /**
   * What a link names comes first, however many there are; then what nobody has taken, the longest known first.
   *
   * @param {Machine} machine
   */
  #urgency(machine) {
    if (this.#isAsked(machine)) return Infinity;
    return Math.max(...machine.open_faults.map((fault) => (isUnanswered(fault) ? 1 + fault.escalation : 0)), 0);
  }

  /** @param {Machine} machine */
  #openRow(machine) {
    const many = this.api.session.branches.length > 1;
    const what = nameOf(machine);
    return faultRow(
      {
        class: this.#isAsked(machine) && "asked",
        "data-state": "faulty",
        "data-faults": machine.open_faults.map(({ id }) => id).join(" "),
      },
      { what, how: faultOf(machine), since: machine.open_faults[0]?.detected_at, branch: many && machine.branch_id },
      this.handling.of(machine.open_faults, what),
    );
  }
}

/**
 * When people were told of a fault, in milliseconds; 0 while it is held back.
 *
 * @param {Fault} fault
 */
function toldAt(fault) {
  return Date.parse(fault.told_at ?? "") || 0;
}
