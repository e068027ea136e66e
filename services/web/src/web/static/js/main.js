// Starts the pages: who is signed in decides which one is shown.

import { Api } from "./api.js";
import { h, put, say, the } from "./dom.js";
import { frame, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { askFirst } from "./model-card.js";
import { ownScript } from "./own-script.js";
import { PhotoStore } from "./photo-store.js";
import { Photos } from "./photos.js";
import { hasPage, pageOf } from "./role-pages.js";
import {
  keptSession,
  samePerson,
  sessionOf,
  signIn,
  signOut,
  takeFromAddress,
  tried,
  watchOtherTabs,
} from "./session.js";
import { noPage, startPage } from "./start-page.js";
import { chooseLanguage, t } from "./texts.js";
import { UploadQueue } from "./upload-queue.js";

const app = the("app");

const store = new PhotoStore();
/** @type {SignedIn | null} */
let signedIn = null;
/** @type {ShownPage | null} */
let page = null;
/** @type {{key: string, values?: Values} | null} */
let notice = null;
/** @type {Promise<void>} */
let taking = Promise.resolve();

/** @param {Session} session */
function enter(session) {
  leave();
  const api = new Api(session, () => expire(api));
  const queue = session.role === "helper" ? new UploadQueue(api, store).start() : null;
  signedIn = { session, api, photos: new Photos(api), queue };
}

function leave() {
  page?.close();
  page = null;
  signedIn?.queue?.stop();
  signedIn?.photos.close();
  signedIn = null;
}

/**
 * The services no longer take the token. Photos that wait stay on the phone.
 *
 * @param {Api} api
 */
function expire(api) {
  if (signedIn?.api !== api) return;
  if (keptSession()?.token !== api.session.token) {
    // Another tab has signed in or out meanwhile: its word is newer.
    followOtherTab();
    return;
  }
  const count = signedIn.queue?.items.length ?? 0;
  const key = !count ? "start.expired" : store.atRisk ? "start.expiredUnkept" : "start.expiredWaiting";
  end({ key, values: { count } });
}

function leaveByChoice() {
  const waiting = signedIn?.queue?.items.length ?? 0;
  const question = store.atRisk ? "helper.signOutUnkept" : "helper.signOutWaiting";
  if (waiting && !confirm(t(question, { count: waiting }))) return;
  end(null);
}

/** @param {{key: string, values?: Values} | null} why */
function end(why) {
  signOut(signedIn?.session);
  leave();
  notice = why;
  show();
}

/**
 * Sign in where nobody is. Returns whether it was a token.
 *
 * @param {string} token
 */
function take(token) {
  const session = sessionOf(token.trim());
  if (!session) return false;
  notice = null;
  signIn(session.token);
  enter(session);
  show();
  return true;
}

/**
 * A link was opened. Who is signed in stays so unless the link is good and he says yes.
 *
 * @param {string} token
 * @returns {Promise<void>}
 */
async function takeLink(token) {
  if (!signedIn) {
    if (take(token)) return;
    notice = { key: "start.badToken" };
    show();
    return;
  }
  const now = signedIn.session;
  const session = sessionOf(token.trim());
  if (session?.token === now.token) return;
  const found = session ? await tried(session) : "refused";
  if (signedIn?.session !== now) return takeLink(token);
  if (!session || found !== "taken") {
    notice = { key: found === "refused" ? "session.badLink" : "session.unchecked", values: { who: named(now) } };
  } else if (samePerson(session, now) || (await askWhether(session, now))) {
    notice = null;
    signIn(session.token);
    enter(session);
  } else {
    return;
  }
  show();
}

/**
 * @param {Session} session
 * @param {Session} now
 */
function askWhether(session, now) {
  const values = { who: named(session), now: named(now) };
  return askFirst({
    title: t("session.ask", { who: session.sub }),
    text: t("session.askText", values),
    yes: t("session.yes", { who: session.sub }),
    no: t("session.no", { now: now.sub }),
  });
}

/**
 * A person in words: "kim (helper, b1)".
 *
 * @param {Session} session
 */
function named({ sub, role, branches }) {
  const what = hasPage(role) ? t(`role.${role}`) : role;
  return `${sub} (${[what, ...branches].join(", ")})`;
}

function followOtherTab() {
  const kept = keptSession();
  if (kept?.token === signedIn?.session.token) return;
  leave();
  notice = null;
  if (kept) enter(kept);
  show();
}

function show() {
  const session = signedIn?.session ?? null;
  const awaited = session !== null && hasPage(session.role);
  const Page = awaited ? pageOf(session.role, { onFetched: show, onFailed: showUnopened }) : null;
  // What stands there stays until the page's own modules have come.
  if (awaited && !Page) return;
  page?.close();
  page = null;
  let content;
  if (Page && signedIn) {
    page = new Page(signedIn);
    content = page.element;
  } else if (session) {
    content = noPage({ session, onSignOut: leaveByChoice });
  } else {
    content = startPage({ notice: notice?.key, noticeValues: notice?.values ?? {}, onToken: takeTyped });
  }
  const address = awaited ? `/${session.role}` : "/";
  if (location.pathname !== address) history.replaceState(null, "", address);
  document.title = page?.title ?? `${t(session ? "start.noPage" : "start.signIn")} · ${t("frame.name")}`;
  const line = session && notice && noticeLine(t(notice.key, notice.values));
  put(app, ...frame({ session, onLanguage: speak, onSignOut: leaveByChoice }, line, content));
}

/** The connection broke before all of a page had come. */
function showUnopened() {
  const retry = trouble({ text: t("problem.no-connection") }, () => location.reload());
  put(app, ...frame({ session: null, onLanguage: speak, onSignOut: leaveByChoice }, retry));
}

/** @param {string} text */
function noticeLine(text) {
  say(text);
  const forget = () => {
    notice = null;
    line.remove();
  };
  const close = h("button", { class: "quiet", type: "button", onclick: forget }, t("alerts.gotIt"));
  const line = h("div", { class: "notice" }, icon("alert"), h("span", {}, text), close);
  return line;
}

/** @param {string} text */
function takeTyped(text) {
  // Only what is no token at all can be told here; the rest the services tell.
  const looksRight = text.trim().split(".").length === 3;
  if (looksRight && !take(text)) show();
  return looksRight;
}

/** @param {string} language */
function speak(language) {
  chooseLanguage(language);
  show();
}

function keepPagesOnPhone() {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.register(ownScript("/sw.js")).catch(() => {
    // The pages then need a connection to open; everything else works.
  });
}

function start() {
  // Before anything that may take a while: an address is shown, shared and kept.
  const given = takeFromAddress();
  const kept = keptSession();
  if (kept) {
    enter(kept);
    show();
  } else {
    signOut();
    if (given === null) show();
  }
  // One after the other: each may ask something.
  /** @param {string} token */
  const takeNext = (token) => {
    taking = taking.then(() => takeLink(token));
  };
  if (given !== null) takeNext(given);
  window.addEventListener("hashchange", () => {
    const token = takeFromAddress();
    if (token !== null) takeNext(token);
  });
  watchOtherTabs(followOtherTab);
  window.addEventListener("beforeunload", (event) => store.atRisk && event.preventDefault());
  keepPagesOnPhone();
}

start();
