// What surrounds both pages: the name, the language, the way out, and whether there is a connection.

import { explain } from "./api.js";
import { h, put } from "./dom.js";
import { drawing } from "./drawings.js";
import { icon } from "./icons.js";
import { language, t } from "./texts.js";

/**
 * Make the frame around a page's content.
 *
 * @param {{session: Session | null, onLanguage(name: string): void, onSignOut(): void}} options
 * @param {Children} content
 */
export function frame({ session, onLanguage, onSignOut }, ...content) {
  const other = language() === "ko" ? "en" : "ko";
  return [
    h("a", { class: "skip", href: "#content" }, t("frame.skip")),
    h(
      "header",
      { class: "bar" },
      h("p", { class: "brand" }, icon("tub"), h("span", {}, t("frame.name"))),
      h(
        "div",
        { class: "bar-end" },
        h(
          "button",
          { class: "quiet", type: "button", lang: other, onclick: () => onLanguage(other) },
          other === "ko" ? "한국어" : "English",
        ),
        session &&
          h(
            "button",
            { class: "quiet icon-only", type: "button", onclick: onSignOut, "aria-label": t("frame.signOut") },
            icon("leave"),
          ),
      ),
    ),
    h("main", { id: "content", tabindex: "-1" }, ...content),
    h("footer", { class: "foot" }, h("a", { href: `/privacy#${language()}` }, t("frame.privacy"))),
  ];
}

/** A line that shows only while there is no connection. */
export function connectionLine() {
  const line = h("p", { class: "connection", role: "status", hidden: true });
  return {
    element: line,
    /**
     * "live", "away" (a service is), "crowded" (too many are open), or "offline" (the phone is).
     *
     * @param {StreamState | "offline"} state
     * @param {string | null} words
     */
    set(state, words = null) {
      line.hidden = state === "live";
      line.dataset.state = state;
      if (state !== "live") put(line, icon("cloud"), h("span", {}, words ?? t(`connection.${state}`)));
    },
  };
}

/**
 * An error that stays until the next attempt: words for people, the service's own words below. Where something
 * could not be fetched, which can be tried again, a picture takes its place.
 *
 * @param {{text: string, detail?: string}} said
 * @param {() => void} [onRetry]
 */
export function trouble({ text, detail }, onRetry) {
  return h(
    "div",
    { class: "trouble", role: "alert" },
    onRetry ? drawing("unplugged") : icon("alert"),
    h("div", {}, h("p", {}, text), detail && h("p", { class: "detail", lang: "en" }, detail)),
    onRetry && h("button", { class: "quiet", type: "button", onclick: onRetry }, icon("retry"), t("action.retry")),
  );
}

/**
 * Put what went wrong in a place, with a button that tries again.
 *
 * @param {HTMLElement} place
 * @param {Refusal} problem
 * @param {() => void} onRetry
 */
export function showTrouble(place, problem, onRetry) {
  put(place, trouble(explain(problem), onRetry));
}
