// The helper's page: a photo goes in with one tap, and what became of each is below.

import { canHelp, explain, Problem } from "./api.js";
import { h, put, say } from "./dom.js";
import { connectionLine, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { recall, remember } from "./kept.js";
import { Live, Meanwhile, supersedes } from "./live.js";
import { labelsOf, stateLine } from "./reading.js";
import { ago, counted, moment, percent, t } from "./texts.js";

// What the services take; naming them makes an iPhone hand over JPEG instead of HEIC.
// Any: the service names what it does not take. An iPhone asked for "image/*" sends its HEIC as JPEG, of less work.
const ACCEPT = "image/*";
const BRANCH_KEY = "laundry.branch";
const PAGE = 20;
const LARGEST_PAGE = 200;
const MOST_PAGES = 5;
const CLOCK_MS = 30000;
const CLOCKS_APART_MS = 120000;

export class HelperPage {
  #tasks = new Map();
  #meanwhile = new Meanwhile();
  #rows = new Map();
  #next = null;
  #loaded = false;
  #closed = new AbortController();
  #list = h("ol", { class: "loads" });
  #above = h("div", {});
  #unkept = h("div", {});
  #unread = h("div", {});
  #below = h("div", { class: "more" });
  #connection = connectionLine();
  #streamState = "live";

  constructor({ session, api, queue, photos }) {
    Object.assign(this, { session, api, queue, photos });
    this.branch = session.branches.includes(recall(BRANCH_KEY))
      ? recall(BRANCH_KEY)
      : session.branches[0];
    this.element = h(
      "div",
      { class: "helper" },
      h(
        "section",
        { class: "intake", "aria-labelledby": "intake-title" },
        h(
          "div",
          { class: "intake-head" },
          h("h1", { id: "intake-title" }, t("helper.title")),
          session.branches.length === 1 && h("p", { class: "lead-branch" }, t("helper.oneBranch", { branch: this.branch })),
        ),
        session.branches.length ? this.#form() : trouble({ text: t("helper.noBranch") }),
      ),
      h(
        "section",
        { class: "history", "aria-labelledby": "history-title" },
        h("h2", { id: "history-title" }, t("helper.history")),
        this.#connection.element,
        this.#above,
        this.#list,
        this.#below,
      ),
    );
    this.#wire();
  }

  #wire() {
    const { signal } = this.#closed;
    this.queue.addEventListener("changed", ({ detail }) => this.#onItem(detail), { signal });
    this.queue.addEventListener("gone", () => this.#draw(), { signal });
    this.queue.addEventListener("registered", ({ detail }) => this.#onRegistered(detail), { signal });
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.#showConnection(), { signal });
    const clock = setInterval(() => this.#tick(), CLOCK_MS);
    signal.addEventListener("abort", () => clearInterval(clock));
    this.live = new Live(this.api, "/api/helper/tasks/stream", {
      refresh: () => this.#refresh(),
      onChange: (task) => this.#onChange(task),
      onState: (state) => {
        this.#streamState = state;
        this.#showConnection();
      },
    }).start();
    this.#refresh().catch(() => {});
    this.#showConnection();
    this.#draw();
  }

  get title() {
    return t("helper.documentTitle");
  }

  close() {
    this.#closed.abort();
    this.live.stop();
  }

  #form() {
    const { branches } = this.session;
    const branch = h(
      "select",
      { id: "branch", onchange: () => this.#chooseBranch(branch.value) },
      branches.map((name) => h("option", { value: name, selected: name === this.branch }, name)),
    );
    this.note = h("input", { id: "note", type: "text", maxlength: 500, autocomplete: "off", placeholder: t("helper.notePlaceholder") });
    return [
      branches.length > 1 && h("div", { class: "field" }, h("label", { for: "branch" }, t("helper.branch")), h("div", { class: "choice" }, branch)),
      h("div", { class: "field" }, h("label", { for: "note" }, t("helper.note")), this.note),
      this.#unkept,
      this.#unread,
      h(
        "div",
        { class: "shutter" },
        this.#picker("primary", "camera", t("helper.take"), { capture: "environment" }),
        this.#picker("secondary", "album", t("helper.pick"), { multiple: true }),
      ),
    ];
  }

  #picker(kind, name, text, attributes) {
    const input = h("input", { type: "file", accept: ACCEPT, class: "unseen", ...attributes });
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      this.#add(files);
    });
    return h("label", { class: `button ${kind}` }, input, icon(name), h("span", {}, text));
  }

  #chooseBranch(name) {
    this.branch = name;
    remember(BRANCH_KEY, name);
  }

  async #add(files) {
    const note = this.note.value.trim();
    const branchId = this.branch;
    const unread = [];
    this.note.value = "";
    put(this.#unread);
    for (const [index, file] of files.entries()) {
      try {
        await this.queue.add(file, { branchId, note });
      } catch {
        // Phones name many photos alike; the place among those chosen tells them apart.
        unread.push(files.length > 1 ? `${file.name} (${index + 1}/${files.length})` : file.name);
      }
    }
    const added = files.length - unread.length;
    if (added) say(t("helper.added", { count: added }));
    if (!unread.length) return;
    // For when they are chosen again.
    this.note.value ||= note;
    const others = added > 0 && t("helper.unreadOthers", { count: added });
    put(this.#unread, trouble({ text: [t("helper.unread", { names: unread.join(", ") }), others].filter(Boolean).join(" ") }));
  }

  #showUnkept() {
    const reasons = this.queue.items.map((item) => item.unkept);
    const reason = ["no-room", "no-store"].find((each) => reasons.includes(each));
    put(this.#unkept, reason && h("p", { class: "notice" }, icon("alert"), h("span", {}, t(`helper.${reason}`))));
  }

  async #refresh() {
    try {
      await this.#meanwhile.during(
        () => this.#fetchAll(),
        ({ items, next }, changes) => this.#takeList(items, next, changes),
      );
      put(this.#above);
      this.#draw();
    } catch (problem) {
      if (problem instanceof Problem && !this.#loaded && navigator.onLine) {
        put(this.#above, trouble(explain(problem), () => this.#refresh().catch(() => {})));
      }
      throw problem;
    }
  }

  /** As many as are shown: each of them may have changed while nobody told. */
  async #fetchAll() {
    const wanted = Math.max(PAGE, this.#tasks.size);
    const items = [];
    let next = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const limit = Math.min(LARGEST_PAGE, wanted - items.length);
      const found = await this.api.page("/api/helper/tasks", { limit, cursor: next });
      items.push(...found.items);
      next = found.next;
      if (!next || items.length >= wanted) break;
    }
    return { items, next };
  }

  #takeList(items, next, changes) {
    // What lies beyond the list is not known any more; "more" fetches it.
    const listed = new Set(items.map((task) => task.id));
    const known = this.#tasks;
    this.#tasks = new Map([...known].filter(([id]) => listed.has(id) || changes.has(id)));
    for (const task of [...items, ...changes.values()]) this.#keep(task);
    this.#next = next;
    this.#loaded = true;
  }

  async #more() {
    try {
      const { items, next } = await this.api.page("/api/helper/tasks", { limit: PAGE, cursor: this.#next });
      for (const task of items) this.#keep(task);
      this.#next = next;
      this.#draw();
    } catch (problem) {
      put(this.#below, trouble(explain(problem), () => this.#more()));
    }
  }

  #keep(task) {
    if (supersedes(task, this.#tasks.get(task.id))) this.#tasks.set(task.id, task);
  }

  async #onChange(changed) {
    let task = changed;
    if (!("status" in changed && "photo" in changed)) {
      try {
        task = await this.api.json(`/api/helper/tasks/${encodeURIComponent(changed.id)}`);
      } catch {
        return;
      }
    }
    const before = this.#tasks.get(task.id)?.status;
    this.#meanwhile.note(task);
    this.#keep(task);
    this.#draw();
    if (before === task.status) return;
    if (task.status === "read") say(t("helper.sayRead", { labels: counted(labelsOf(task)) }));
    if (task.status === "unreadable") say(t("helper.sayUnreadable"));
  }

  #onItem(item) {
    if (this.#rows.get(item.key)?.dataset.version === version(item)) {
      this.#showProgress(item);
      return;
    }
    if (item.state === "refused") say(explain(item.problem).text, { urgent: true });
    this.#showConnection();
    this.#draw();
  }

  #onRegistered({ item, task }) {
    this.photos.adopt(task.id, item.blob);
    // The reading may have come through the stream before this answer did.
    this.#keep(task);
    this.#meanwhile.note(this.#tasks.get(task.id));
    this.#draw();
    this.#showConnection();
    say(t("helper.sayRegistered"));
  }

  #showConnection() {
    const waiting = this.queue.items.filter((item) => item.state !== "refused");
    const unkept = waiting.some((item) => item.unkept);
    const key = unkept ? "connection.offlineUnkept" : waiting.length ? "connection.offlineWaiting" : "connection.offline";
    if (!navigator.onLine) this.#connection.set("offline", t(key, { count: waiting.length }));
    else this.#connection.set(this.#streamState);
  }

  #tick() {
    for (const time of this.#list.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  }

  #draw() {
    const items = [...this.queue.items].sort((a, b) => b.addedAt - a.addedAt);
    const tasks = [...this.#tasks.values()].filter((task) => !this.#stillSending(task)).sort((a, b) => (a.submitted_at < b.submitted_at ? 1 : -1));
    const rows = [
      ...items.map((item) => this.#row(item.key, version(item), () => this.#itemRow(item))),
      ...tasks.map((task) => this.#row(task.id, version(task), () => this.#taskRow(task))),
    ];
    const wanted = new Set(rows);
    for (const [key, row] of this.#rows) if (!wanted.has(row)) this.#rows.delete(key);
    arrange(this.#list, rows);
    for (const item of items) this.#showProgress(item);
    this.#showUnkept();
    const empty = h("div", { class: "empty" }, icon("tub"), h("p", {}, t("helper.empty")), h("p", {}, t("helper.emptyText")));
    const more = h("button", { class: "secondary", type: "button", onclick: () => this.#more() }, t("action.more"));
    put(this.#below, this.#loaded && !rows.length && empty, this.#next && more);
  }

  /**
   * Whether a task is of a photo whose own answer is still on its way, or was lost: the news of a task can be
   * faster than the answer to the upload that made it. It is shown once, as the photo.
   */
  #stillSending(task) {
    return this.queue.items.some(
      (item) =>
        item.state !== "refused" &&
        task.helper_id === this.session.sub &&
        task.branch_id === item.branchId &&
        task.photo.bytes === item.blob.size &&
        Date.parse(task.submitted_at) > item.addedAt - CLOCKS_APART_MS,
    );
  }

  #row(key, of, make) {
    const row = this.#rows.get(key);
    if (row?.dataset.version === of) return row;
    const made = make();
    made.dataset.version = of;
    this.#rows.set(key, made);
    return made;
  }

  #taskRow(task) {
    const labels = labelsOf(task);
    const alt = labels.length ? t("photo.of", { labels: counted(labels) }) : t("photo.unread");
    const sure = task.status === "read" && !task.reading.multiple && labels[0]?.confidence;
    return h(
      "li",
      { class: "load", "data-status": task.status, "data-id": task.id },
      this.photos.view(task.id, { alt }),
      h(
        "div",
        { class: "load-body" },
        stateLine(task),
        labels.length > 0 && h("p", { class: "garments" }, counted(labels), sure && h("small", {}, percent(sure))),
        task.note && h("p", { class: "note" }, task.note),
        this.#meta(task.submitted_at, task.branch_id),
      ),
    );
  }

  #meta(time, branch) {
    return h(
      "p",
      { class: "meta" },
      h("time", { datetime: time, title: moment(time) }, ago(time)),
      this.session.branches.length > 1 && h("span", {}, branch),
    );
  }

  #itemRow(item) {
    const refused = item.state === "refused";
    const said = refused ? explain(item.problem) : null;
    return h(
      "li",
      { class: "load", "data-status": item.state },
      this.photos.viewOf(item.key, item.blob, { alt: t("photo.unsent") }),
      h(
        "div",
        { class: "load-body" },
        h(
          "p",
          { class: "state", "data-tone": refused ? "bad" : "calm" },
          icon(refused ? "alert" : "clock"),
          t(`upload.${item.state}`),
        ),
        refused && h("p", { class: "why" }, said.text),
        refused && said.detail && h("p", { class: "why detail", lang: "en" }, said.detail),
        item.state === "waiting" && h("p", { class: "meta" }, t(item.unkept ? "upload.unkept" : "upload.safe")),
        item.state === "sending" && h("progress", { max: 1, value: 0, "aria-label": t("upload.progress") }),
        item.state === "sending" && h("p", { class: "meta percent" }),
        refused && this.#itemActions(item),
      ),
    );
  }

  #itemActions(item) {
    return h(
      "div",
      { class: "row-actions" },
      canHelp(item.problem) &&
        h("button", { class: "quiet", type: "button", onclick: () => this.queue.retry(item) }, icon("retry"), t("action.retry")),
      h("button", { class: "quiet", type: "button", onclick: () => this.queue.discard(item) }, icon("bin"), t("action.discard")),
    );
  }

  #showProgress(item) {
    const row = this.#rows.get(item.key);
    const bar = row?.querySelector("progress");
    if (!bar) return;
    bar.value = item.progress;
    row.querySelector(".percent").textContent = percent(item.progress);
  }
}

function version(of) {
  return JSON.stringify([of.state, of.unkept, of.problem?.code, of.status, of.reading, of.confirmation]);
}

/** Bring a list to an order with the fewest moves, so that focus and scrolling stay. */
function arrange(list, rows) {
  const wanted = new Set(rows);
  for (const row of [...list.children]) if (!wanted.has(row)) row.remove();
  rows.forEach((row, index) => {
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
}
