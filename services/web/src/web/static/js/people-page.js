// Who works where: invitations, people and their right; an operator's also has the branches.

import { explain } from "./api.js";
import { askFirst } from "./ask-first.js";
import { allBranches, namesOf } from "./branch-names.js";
import { BranchesPart } from "./branches-part.js";
import { h, put, say } from "./dom.js";
import { emptyState } from "./drawings.js";
import { showTrouble, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { InviteForm } from "./invite-form.js";
import { once } from "./once.js";
import { PagedList } from "./paged-list.js";
import { ago, moment, t } from "./texts.js";

const PEOPLE = "/api/identity/people";
const INVITATIONS = "/api/identity/invitations";
const TYPING_MS = 300;

export class PeoplePage {
  /** @type {Map<string, Branch>} */
  #branches = new Map();
  #stage = h("div", {});
  #said = h("div", {});
  /** @type {InviteForm | null} */
  #form = null;
  #people;
  #invitations;
  #typing = 0;
  #search = h("input", { id: "people-search", type: "search", oninput: () => this.#typed() });
  #closed = false;

  /** @param {SignedIn} signedIn */
  constructor(signedIn) {
    this.signedIn = signedIn;
    const { api } = signedIn;
    this.#people = new PagedList(api, PEOPLE, {
      name: t("people.people"),
      row: (person) => this.#personRow(person),
      empty: (query) =>
        query.q
          ? emptyState("lens", t("people.notFound"), t("people.notFoundText"))
          : emptyState("door", t("people.none"), t("people.noneText")),
    });
    this.#invitations = new PagedList(api, INVITATIONS, {
      name: t("people.open"),
      row: (invitation) => this.#invitationRow(invitation),
      empty: () => h("p", { class: "meta" }, t("people.noneOpen")),
    });
    this.element = h("div", { class: "people" }, h("h1", {}, t("people.title")), this.#stage);
    this.ready = this.#start();
  }

  get title() {
    return t("people.documentTitle");
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#typing);
    this.#form?.close();
    this.#people.close();
    this.#invitations.close();
  }

  async #start() {
    try {
      this.#branches = await allBranches(this.signedIn.api);
    } catch (problem) {
      if (this.#closed) return;
      showTrouble(this.#stage, problem, () => this.#start());
      return;
    }
    if (this.#closed || this.#form) return;
    const operator = this.signedIn.session.role === "operator";
    this.#form = new InviteForm(this.signedIn, {
      branches: this.#branches,
      onMade: () => this.#invitations.load(),
    });
    const branches = operator ? new BranchesPart(this.signedIn.api, () => this.#renew()) : null;
    put(
      this.#stage,
      this.#said,
      section("people.inviteTitle", this.#form.element),
      section("people.open", this.#invitations.element),
      section(
        "people.people",
        h("div", { class: "field" }, h("label", { for: "people-search" }, t("people.search")), this.#search),
        this.#people.element,
      ),
      branches && section("people.branches", branches.element),
    );
    await Promise.all([this.#people.load(), this.#invitations.load(), branches?.ready]);
  }

  /** There are other branches, or one has another name. */
  async #renew() {
    try {
      this.#branches = await allBranches(this.signedIn.api);
    } catch (problem) {
      if (!this.#closed) showTrouble(this.#said, problem, () => this.#renew());
      return;
    }
    if (this.#closed) return;
    put(this.#said);
    this.#form?.show(this.#branches);
    await Promise.all([this.#people.load(), this.#invitations.load()]);
  }

  /** A question for each letter would be asked in vain. */
  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#people.load({ q: this.#search.value.trim() }), TYPING_MS);
  }

  /** @param {WorkingPerson} person */
  #personRow(person) {
    const { session } = this.signedIn;
    const mayEnd = person.sub !== session.sub && (session.role === "operator" || person.role === "helper");
    return h(
      "li",
      { class: "entry", "data-sub": person.sub },
      h(
        "div",
        {},
        h("p", {}, h("strong", {}, person.name), person.sub === session.sub && ` (${t("people.you")})`),
        h("p", { class: "meta" }, h("span", {}, t(`role.${person.role}`)), h("span", {}, person.email)),
        person.branches.length > 0 && h("p", { class: "meta" }, namesOf(person.branches, this.#branches)),
        h("p", { class: "meta" }, t("people.joined", { when: ago(person.joined_at) })),
      ),
      mayEnd &&
        h(
          "button",
          {
            class: "secondary danger",
            type: "button",
            "aria-label": `${t("people.remove")} ${person.name}`,
            onclick: ({ currentTarget }) => once(currentTarget, () => this.#remove(person)),
          },
          t("people.remove"),
        ),
    );
  }

  /** @param {Invitation} invitation */
  #invitationRow(invitation) {
    const { role, branches, note } = invitation;
    const places = namesOf(branches, this.#branches);
    return h(
      "li",
      { class: "entry" },
      h(
        "div",
        {},
        h("p", {}, h("strong", {}, note || t(`role.${role}`))),
        h("p", { class: "meta" }, note && h("span", {}, t(`role.${role}`)), places && h("span", {}, places)),
        h("p", { class: "meta" }, t("people.until", { when: moment(invitation.expires_at) })),
      ),
      h(
        "button",
        {
          class: "secondary",
          type: "button",
          "aria-label": `${t("people.withdraw")} ${note || places}`,
          onclick: ({ currentTarget }) => once(currentTarget, () => this.#withdraw(invitation)),
        },
        icon("close"),
        t("people.withdraw"),
      ),
    );
  }

  /** @param {WorkingPerson} person */
  async #remove(person) {
    const sure = await askFirst({
      title: t("people.removeAsk", { name: person.name }),
      text: t("people.removeText"),
      yes: t("people.removeYes"),
    });
    if (!sure) return;
    await this.#act(`${PEOPLE}/${encodeURIComponent(person.sub)}`, t("people.sayRemoved", { name: person.name }));
    await Promise.all([this.#people.load(), this.#invitations.load()]);
  }

  /** @param {Invitation} invitation */
  async #withdraw({ id }) {
    await this.#act(`${INVITATIONS}/${id}`, t("people.sayWithdrawn"));
    await this.#invitations.load();
  }

  /**
   * @param {string} path
   * @param {string} done
   */
  async #act(path, done) {
    try {
      await this.signedIn.api.fetch(path, { method: "DELETE" });
      put(this.#said);
      say(done);
    } catch (problem) {
      put(this.#said, trouble(explain(problem)));
      this.#said.scrollIntoView({ block: "nearest" });
    }
  }
}

/**
 * @param {string} key
 * @param {Children} content
 */
function section(key, ...content) {
  const id = key.replace(".", "-");
  return h("section", { "aria-labelledby": id }, h("h2", { id }, t(key)), ...content);
}
