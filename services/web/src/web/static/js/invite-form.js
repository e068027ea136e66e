// Inviting somebody: to what, and then the link with its QR code, which are shown this once.

import { explain } from "./api.js";
import { nameOfBranch } from "./branch-names.js";
import { h, put, say } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { once } from "./once.js";
import { copyable } from "./shown-once.js";
import { moment, t } from "./texts.js";

const PATH = "/api/identity/invitations";
const LONGEST_NOTE = 100;
// From so many on there is a field to look for one.
const MANY = 12;

export class InviteForm {
  /** @type {Set<string>} */
  #chosen = new Set();
  #chips = h("div", { class: "chips", role: "group", "aria-label": t("people.branches") });
  #find = h("input", { id: "invite-find", type: "search", oninput: () => this.#showChips() });
  #search = h("div", { class: "field" }, h("label", { for: "invite-find" }, t("people.findBranch")), this.#find);
  #result = h("div", {});
  #picture = "";
  #role;
  #note = h("input", { id: "invite-note", type: "text", maxlength: LONGEST_NOTE, autocomplete: "off" });
  #places;

  /**
   * @param {SignedIn} signedIn
   * @param {{branches: Map<string, Branch>, onMade(): void}} options
   */
  constructor({ api, session }, { branches, onMade }) {
    this.api = api;
    this.branches = branches;
    this.onMade = onMade;
    const roles = session.role === "operator" ? ["helper", "owner", "operator"] : ["helper"];
    this.#role = h(
      "select",
      { id: "invite-role", onchange: () => this.#showPlaces() },
      roles.map((role) => h("option", { value: role }, t(`role.${role}`))),
    );
    this.#places = h(
      "div",
      { class: "field" },
      h("p", { class: "field-name" }, t("people.branches")),
      this.#search,
      this.#chips,
    );
    const invite = h("button", { class: "primary", type: "submit" }, icon("plus"), t("people.invite"));
    const send = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      once(invite, () => this.#invite());
    };
    this.element = h(
      "form",
      { class: "invite", onsubmit: send },
      roles.length > 1 &&
        h("div", { class: "field" }, h("label", { for: "invite-role" }, t("people.role")), this.#role),
      this.#places,
      h("div", { class: "field" }, h("label", { for: "invite-note" }, t("people.note")), this.#note),
      invite,
      this.#result,
    );
    this.show(branches);
  }

  /**
   * Offer these branches. All else stays, also a link that was made.
   *
   * @param {Map<string, Branch>} branches
   */
  show(branches) {
    this.branches = branches;
    this.#search.hidden = branches.size <= MANY;
    this.#showPlaces();
    this.#showChips();
  }

  close() {
    URL.revokeObjectURL(this.#picture);
  }

  #showPlaces() {
    this.#places.hidden = this.branches.size === 1 || this.#role.value === "operator";
  }

  #showChips() {
    const wanted = this.#find.value.trim().toLowerCase();
    const shown = [...this.branches.values()].filter(
      (branch) => this.#chosen.has(branch.id) || `${branch.id} ${nameOfBranch(branch)}`.toLowerCase().includes(wanted),
    );
    put(
      this.#chips,
      shown.map((branch) => {
        const chip = h(
          "button",
          {
            class: "chip",
            type: "button",
            "aria-pressed": String(this.#chosen.has(branch.id)),
            onclick: () => {
              if (!this.#chosen.delete(branch.id)) this.#chosen.add(branch.id);
              chip.setAttribute("aria-pressed", String(this.#chosen.has(branch.id)));
            },
          },
          nameOfBranch(branch),
        );
        return chip;
      }),
    );
  }

  async #invite() {
    const role = this.#role.value;
    // Who has one branch only invites for that one.
    const chosen = this.branches.size === 1 ? this.branches.keys() : this.#chosen;
    const branches = role === "operator" ? [] : [...chosen];
    if (role !== "operator" && !branches.length) {
      this.#complain({ text: t("problem.branches-unfit") });
      return;
    }
    try {
      const json = { role, branches, note: this.#note.value.trim() };
      this.#show(await this.api.json(PATH, { method: "POST", json }));
      this.#note.value = "";
      this.onMade();
    } catch (problem) {
      this.#complain(explain(problem));
    }
  }

  /** @param {{text: string, detail?: string}} said */
  #complain(said) {
    this.#result.querySelector(".trouble")?.remove();
    this.#result.prepend(trouble(said));
  }

  /** @param {Invitation & {link: string, qr_svg: string}} made */
  #show(made) {
    URL.revokeObjectURL(this.#picture);
    this.#picture = URL.createObjectURL(new Blob([made.qr_svg], { type: "image/svg+xml" }));
    const share = h(
      "button",
      {
        class: "secondary",
        type: "button",
        // Who closes the sheet has not shared, which is no fault.
        onclick: () => navigator.share({ title: t("people.shareTitle"), url: made.link }).catch(() => {}),
      },
      t("people.share"),
    );
    const card = h(
      "div",
      { class: "invited", tabindex: "-1" },
      h("img", { src: this.#picture, alt: t("people.qr"), width: 232, height: 232 }),
      h("p", {}, t("people.linkText", { until: moment(made.expires_at) })),
      copyable(t("people.link"), made.link),
      "share" in navigator && share,
    );
    put(this.#result, card);
    card.focus();
    say(t("people.sayMade"));
  }
}
