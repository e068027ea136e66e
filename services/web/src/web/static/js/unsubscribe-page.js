// Where the link of a recommendation leads: opening it ends them, without signing in.

import { h, put, the } from "./dom.js";
import { frame, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { chooseLanguage, t } from "./texts.js";

const PATIENCE_MS = 15000;
const KEY = location.hash.slice(1);
/** What the service answered; 0 while it was not reached, null while it was not asked. @type {number | null} */
let answered = null;

async function stop() {
  answered = null;
  show();
  try {
    const answer = await fetch("/api/notification/unsubscribe", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: KEY }),
      // The key says enough; whoever is signed in here has nothing to do with it.
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    answered = answer.status;
  } catch {
    answered = 0;
  }
  show();
}

function show() {
  const content = [h("h1", {}, t("unsubscribe.title")), outcome()];
  put(the("app"), ...frame({ session: null, onLanguage: speak, onSignOut() {} }, ...content));
  document.title = `${t("unsubscribe.title")} · ${t("frame.name")}`;
}

function outcome() {
  if (!KEY || answered === 404 || answered === 422) return trouble({ text: t("unsubscribe.unknown") });
  if (answered === null) return h("p", { role: "status" }, t("unsubscribe.doing"));
  if (answered !== 204) return trouble({ text: t("unsubscribe.failed") }, stop);
  return h(
    "div",
    { class: "empty" },
    icon("check"),
    h("p", { role: "status" }, t("unsubscribe.done")),
    h("p", {}, t("unsubscribe.again")),
    h("a", { class: "button secondary", href: "/" }, t("unsubscribe.open")),
  );
}

/** @param {string} language */
function speak(language) {
  chooseLanguage(language);
  show();
}

if (KEY) stop();
else show();
