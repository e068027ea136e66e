// Where the link of a recommendation leads: opening it ends them, without signing in.

import { h, put, the } from "./dom.js";
import { trouble } from "./frame.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

const PATIENCE_MS = 15000;

/** @param {string} key */
async function stop(key) {
  show(h("p", { role: "status" }, t("unsubscribe.doing")));
  let status = 0;
  try {
    const answer = await fetch("/api/notification/unsubscribe", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key }),
      // The key says enough; whoever is signed in here has nothing to do with it.
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    status = answer.status;
  } catch {
    // Told below, as any other failure.
  }
  if (status === 204)
    show(icon("check"), h("p", { role: "status" }, t("unsubscribe.done")), h("p", {}, t("unsubscribe.again")));
  else if (status === 404 || status === 422) show(trouble({ text: t("unsubscribe.unknown") }));
  else show(trouble({ text: t("unsubscribe.failed") }, () => stop(key)));
}

/** @param {Node[]} content */
function show(...content) {
  put(
    the("content"),
    h("h1", {}, t("unsubscribe.title")),
    h("div", { class: "empty" }, ...content),
    h("p", {}, h("a", { href: "/" }, t("frame.name"))),
  );
}

document.title = `${t("unsubscribe.title")} · ${t("frame.name")}`;
const key = location.hash.slice(1);
if (key) stop(key);
else show(trouble({ text: t("unsubscribe.unknown") }));
