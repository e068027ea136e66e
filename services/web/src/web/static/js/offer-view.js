// What an owner says of a branch: in tags that customers choose from too, and in words of the owner's own.

import { explain } from "./api.js";
import { askFirst } from "./ask-first.js";
import { allBranches, namesOf } from "./branch-names.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble, trouble } from "./frame.js";
import { labelled } from "./history-view.js";
import { icon } from "./icons.js";
import { PagedList } from "./paged-list.js";
import { TagChooser } from "./tag-chooser.js";
import { levelOf } from "./taste.js";
import { ago, moment, t } from "./texts.js";

const LONGEST_TITLE = 100;
const LONGEST_TEXT = 1000;
const MOST_TAGS = 32;
const WORD = /^[a-z0-9가-힣][a-z0-9가-힣_-]{0,31}$/;

export class OfferView {
  #tags = new TagChooser({ levels: "matches.level", none: "offer.noneChosen", onChange: () => this.#changed() });
  #place = h("select", { id: "offer-branch", onchange: () => this.#show() });
  #word = h("input", { id: "offer-word", type: "text", maxlength: 32, autocomplete: "off" });
  #title = h("input", { id: "offer-title-field", type: "text", required: true, maxlength: LONGEST_TITLE });
  #text = h("textarea", { id: "offer-text", rows: 4, required: true, maxlength: LONGEST_TEXT });
  #send = h("button", { class: "primary", type: "submit" }, icon("heart"), t("offer.send"));
  #wordSaid = h("p", { class: "hint", id: "offer-word-hint" }, t("offer.wordHint"));
  #result = h("div", { role: "status" });
  #said = h("div", {});
  #list;
  #key = "";
  #closed = false;

  /** @param {SignedIn} signedIn */
  constructor({ api, session }) {
    this.api = api;
    this.branches = session.branches;
    this.#list = new PagedList(api, this.#path, {
      name: t("offer.saidTitle"),
      row: (preference) => this.#row(preference),
      empty: () => emptyState("heart", t("offer.none"), t("offer.noneText")),
    });
    this.#word.setAttribute("aria-describedby", this.#wordSaid.id);
    this.#word.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.#addWord();
    });
    const form = h(
      "form",
      {
        oninput: () => this.#changed(),
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          this.#state();
        },
      },
      this.branches.length > 1 && labelled(t("filter.branch"), this.#place),
      this.#tags.choices,
      h(
        "div",
        { class: "field" },
        h("label", { for: this.#word.id }, t("offer.word")),
        h(
          "div",
          { class: "copy-row" },
          this.#word,
          h("button", { class: "secondary", type: "button", onclick: () => this.#addWord() }, t("offer.addWord")),
        ),
        this.#wordSaid,
      ),
      h("h2", { id: "offer-chosen" }, t("offer.chosen")),
      this.#tags.chosen,
      labelled(t("offer.titleField"), this.#title),
      h("div", { class: "field" }, h("label", { for: this.#text.id }, t("offer.text")), this.#text),
      this.#send,
      this.#result,
    );
    this.element = h(
      "div",
      { class: "likes offer" },
      h(
        "section",
        { "aria-labelledby": "offer-title" },
        h("h1", { id: "offer-title" }, t("offer.title")),
        h("p", { class: "lead" }, t("offer.lead")),
        form,
      ),
      h(
        "section",
        { "aria-labelledby": "offer-said" },
        h("h2", { id: "offer-said" }, t("offer.saidTitle")),
        this.#said,
        this.#list.element,
      ),
    );
    this.#start();
  }

  get title() {
    return t("offer.documentTitle");
  }

  close() {
    this.#closed = true;
    this.#list.close();
  }

  get #branch() {
    return this.#place.value || (this.branches[0] ?? "");
  }

  get #path() {
    return `/api/search/branches/${encodeURIComponent(this.#branch)}/preferences`;
  }

  async #start() {
    try {
      const [tags, names] = await Promise.all([
        this.api.json("/api/search/branches/tags"),
        // People who sign in elsewhere have branches without names.
        allBranches(this.api).catch(() => new Map()),
      ]);
      if (this.#closed) return;
      const options = this.branches.map((id) => h("option", { value: id }, namesOf([id], names)));
      put(this.#place, options);
      this.#tags.show(tags.items, {});
      this.#show();
    } catch (problem) {
      if (this.#closed) return;
      showTrouble(this.#tags.choices, problem, () => this.#start());
    }
  }

  #show() {
    put(this.#said);
    this.#list.path = this.#path;
    this.#list.load();
  }

  /** What is sent again unchanged is the same preference; what was changed is another. */
  #changed() {
    this.#key = "";
    put(this.#result);
  }

  #addWord() {
    const word = this.#word.value.normalize("NFC").trim().toLowerCase().replaceAll(/\s+/g, "-");
    const fits = WORD.test(word);
    put(this.#wordSaid, t(fits || !word ? "offer.wordHint" : "offer.wordUnfit"));
    if (!fits) return;
    this.#tags.add(word);
    this.#word.value = "";
    say(t("offer.sayAdded", { tag: this.#tags.nameOf(word) }));
  }

  async #state() {
    const tags = { ...this.#tags.weights };
    const count = Object.keys(tags).length;
    if (!count || count > MOST_TAGS) {
      put(this.#result, trouble({ text: t(count ? "offer.tooMany" : "offer.sayTags", { count: MOST_TAGS }) }));
      return;
    }
    this.#key ||= crypto.randomUUID();
    this.#send.disabled = true;
    try {
      const { matched } = await this.#post({ tags, title: this.#title.value, text: this.#text.value });
      this.#title.value = "";
      this.#text.value = "";
      this.#tags.clear();
      this.#changed();
      put(this.#result, h("p", { class: "state", "data-tone": "good" }, icon("check"), told(matched)));
      this.#show();
    } catch (problem) {
      put(this.#result, trouble(explain(problem)));
    } finally {
      this.#send.disabled = false;
    }
  }

  /** @param {{tags: Record<string, number>, title: string, text: string}} json */
  async #post(json) {
    const answer = await this.api.fetch(this.#path, {
      method: "POST",
      body: JSON.stringify(json),
      headers: { "Content-Type": "application/json", "Idempotency-Key": this.#key },
    });
    return answer.json();
  }

  /** @param {BranchPreference} preference */
  #row(preference) {
    const { id, title, text, tags, matched, created_at: createdAt } = preference;
    return h(
      "li",
      { class: "entry", "data-preference": id },
      h(
        "div",
        {},
        h("p", { class: "branch-says" }, title),
        h("p", { class: "note" }, text),
        h(
          "ul",
          { class: "said-tags" },
          Object.entries(tags).map(([tag, weight]) =>
            h(
              "li",
              {},
              h("span", {}, this.#tags.nameOf(tag)),
              " ",
              h("span", { class: "meta" }, t(`matches.level.${levelOf(weight).name}`)),
            ),
          ),
        ),
        h(
          "p",
          { class: "meta" },
          h("time", { datetime: createdAt, title: moment(createdAt) }, ago(createdAt)),
          matched !== null && h("span", {}, t("offer.matched", { count: matched })),
        ),
      ),
      h(
        "button",
        {
          class: "secondary",
          type: "button",
          "aria-label": t("offer.withdrawOf", { title }),
          onclick: () => this.#withdraw(preference),
        },
        icon("close"),
        t("offer.withdraw"),
      ),
    );
  }

  /** @param {BranchPreference} preference */
  async #withdraw({ id, title }) {
    const sure = await askFirst({
      title: t("offer.withdrawAsk", { title }),
      text: t("offer.withdrawText"),
      yes: t("offer.withdrawYes"),
    });
    if (!sure) return;
    try {
      await this.api.fetch(`${this.#path}/${id}`, { method: "DELETE" });
      put(this.#said);
      say(t("offer.sayWithdrawn"));
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
    }
    await this.#list.load();
  }
}

/** @param {number | null} matched */
function told(matched) {
  return matched ? t("offer.told", { count: matched }) : t("offer.toldNobody");
}
