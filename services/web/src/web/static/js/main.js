// Starts the pages: who is signed in decides which one is shown.

import { Api } from "./api.js";
import { h, put, say, the } from "./dom.js";
import { frame, trouble } from "./frame.js";
import { icon } from "./icons.js";
import { ownScript } from "./own-script.js";
import { PhotoStore } from "./photo-store.js";
import { Photos } from "./photos.js";
import { renew, turnOff } from "./push.js";
import { pages } from "./role-pages.js";
import {
  ask,
  askAfresh,
  finishLeaving,
  forgetSession,
  isAfresh,
  isLeaving,
  keep,
  keptSession,
  samePerson,
  sameRights,
  signInAddress,
  signOut,
  takeOutcome,
  watchOtherTabs,
} from "./session.js";
import { noPage, startPage } from "./start-page.js";
import { chooseLanguage, has, t } from "./texts.js";

// Rights change: who comes back to a page is checked again after so long, and who stays there from time to time.
const CHECK_MS = 60000;
const CHECK_EVERY_MS = 300000;
const AGAIN_MS = 10000;
// While nobody can be asked: the phone is offline, or the sign-in service away.
const UNASKED = ["signIn.unasked", "signIn.away"];
const app = the("app");

const store = new PhotoStore();
/** @type {SignedIn | null} */
let signedIn = null;
/** @type {ShownPage | null} */
let page = null;
/** @typedef {{key: string, values?: Values}} Words */
/** @type {Words[]} */
let notice = [];
/** Where one can sign in, as far as is known. @type {string[]} */
let providers = ["staff"];
/** Whoever signs in right after a sign-out is not taken to where that would lead. */
let signingIn = false;
/** How often somebody came or left. */
let turn = 0;
/** In which turn the answer was asked for that is on its way. @type {number | null} */
let asking = null;
let checkedAt = 0;
let drawn = "";

/** @param {Session} session */
function enter(session) {
  leave();
  const api = new Api(session, () => {
    if (signedIn?.api === api) check();
  });
  signedIn = { session, api, photos: new Photos(api), queue: null };
  // What the push service or the network refuses now is tried again at the next start.
  renew(api).catch(() => {});
}

function leave() {
  turn += 1;
  page?.close();
  page = null;
  signedIn?.queue?.stop();
  signedIn?.photos.close();
  signedIn = null;
}

/** Find out who is signed in, and show what is theirs. While nobody can be asked everything stays. */
async function check() {
  checkedAt = performance.now();
  const asked = turn;
  if (asking === asked) return;
  asking = asked;
  const found = await ask();
  if (asking === asked) asking = null;
  // Whoever came or left meanwhile is not who was asked about.
  if (asked !== turn && (found.session || signedIn)) return;
  if (found.session) return become(found.session);
  providers = found.providers ?? providers;
  if (found.why && UNASKED.includes(notice[0]?.key)) notice = [];
  if (found.why && signedIn) return expire(found.why);
  if (signedIn) return;
  forgetSession();
  if (!found.why) {
    notice = [{ key: UNASKED[Number(navigator.onLine)] }];
    setTimeout(() => signedIn || check(), AGAIN_MS);
  } else if (!notice.length && found.why === "session-no-role") refuse("no-role");
  const now = JSON.stringify([providers, notice, isAfresh()]);
  // Nobody is read the same again and again.
  if (now !== drawn || !app.querySelector(".start")) show();
  drawn = now;
}

/** @param {Session} session */
function become(session) {
  const now = signedIn?.session ?? null;
  keep(session);
  if (now && samePerson(now, session) && sameRights(now, session)) return;
  notice = now && samePerson(now, session) ? [{ key: "session.rights", values: { who: named(session) } }] : [];
  enter(session);
  show();
}

/**
 * The session is over. Photos that wait stay on the phone.
 *
 * @param {string} why
 */
function expire(why) {
  const count = signedIn?.queue?.items.length ?? 0;
  // Whoever is known at the provider has no entry here.
  if (why === "session-no-role") askAfresh();
  const said = [{ key: has(`out.${why}`) ? `out.${why}` : "out.session-missing" }];
  end(count ? [...said, { key: store.atRisk ? "out.unkept" : "out.waiting", values: { count } }] : said);
}

/**
 * A sign-in came to nothing.
 *
 * @param {string} why
 */
function refuse(why) {
  if (why === "no-role" || why === "no-grant") askAfresh();
  notice = [{ key: has(`signIn.${why}`) ? `signIn.${why}` : "signIn.unfit" }];
}

async function leaveByChoice() {
  const waiting = signedIn?.queue?.items.length ?? 0;
  const question = store.atRisk ? "helper.signOutUnkept" : "helper.signOutWaiting";
  if (waiting && !confirm(t(question, { count: waiting }))) return;
  turnOff().catch(() => {});
  signingIn = false;
  const left = signOut();
  end([]);
  const elsewhere = await left;
  // Going there would lose what is only on this page.
  if (elsewhere && !store.atRisk && !signedIn && !signingIn) location.assign(elsewhere);
}

/** @param {Words[]} why */
function end(why) {
  forgetSession();
  leave();
  notice = why;
  show();
}

/**
 * A person in words: "kim (helper, b1)".
 *
 * @param {Session} session
 */
function named({ name, role, branches }) {
  const what = pages.has(role) ? t(`role.${role}`) : role;
  return `${name} (${[what, ...branches].join(", ")})`;
}

function followOtherTab() {
  const kept = keptSession();
  const now = signedIn?.session;
  if (kept && now && samePerson(kept, now) && sameRights(kept, now)) return;
  if (!kept && !now) return;
  leave();
  notice = [];
  if (kept) enter(kept);
  show();
}

/** Whoever comes back, or is online again, may have been signed in or out meanwhile. */
function look() {
  if (!document.hidden && (!signedIn || performance.now() - checkedAt > CHECK_MS)) check();
}

/** @param {MouseEvent} event */
async function beforeSignIn(event) {
  const link = event.currentTarget;
  if (!(link instanceof HTMLAnchorElement) || (navigator.onLine && !isLeaving())) return;
  event.preventDefault();
  signingIn = true;
  // The one who signed out without a connection is still signed in there.
  if (navigator.onLine && (await finishLeaving())) location.assign(link.href);
  else {
    signingIn = false;
    notice = [{ key: "signIn.unasked" }];
    show();
  }
}

function show() {
  const role = signedIn?.session.role ?? "";
  // What stands there stays until the page's own modules have come.
  if (pages.has(role)) pages.open(role, showPage, showUnopened);
  else {
    pages.close();
    showPage(null);
  }
}

/** @param {import("./role-pages.js").Page | null} Page */
function showPage(Page) {
  const session = signedIn?.session ?? null;
  page?.close();
  page = null;
  let content;
  if (Page && signedIn) {
    signedIn.queue ??= Page.queueOf?.(signedIn.api, store) ?? null;
    page = new Page(signedIn);
    content = page.element;
  } else if (session) {
    content = noPage({ session, onSignOut: leaveByChoice });
  } else {
    content = startPage({
      notice: words(),
      ways: providers.map((provider) => ({ provider, address: signInAddress({ provider }) })),
      newTab: store.atRisk,
      onSignIn: beforeSignIn,
    });
  }
  // Who is to sign in comes back to where they wanted to.
  const address = session ? `/${Page ? session.role : ""}` : location.pathname;
  if (location.pathname !== address) history.replaceState(null, "", address);
  document.title = page?.title ?? `${t(session ? "start.noPage" : "start.signIn")} · ${t("frame.name")}`;
  const line = session && notice.length > 0 && noticeLine(words());
  put(app, ...frame({ session, onLanguage: speak, onSignOut: leaveByChoice }, line, content));
}

function words() {
  return notice.map(({ key, values }) => t(key, values)).join(" ");
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
    notice = [];
    line.remove();
  };
  const close = h("button", { class: "quiet", type: "button", onclick: forget }, t("alerts.gotIt"));
  const line = h("div", { class: "notice" }, icon("alert"), h("span", {}, text), close);
  return line;
}

/** @param {string} language */
function speak(language) {
  chooseLanguage(language);
  show();
}

function keepPagesOnPhone() {
  if (!("serviceWorker" in navigator)) return;
  const register = () =>
    navigator.serviceWorker.register(ownScript("/sw.js")).catch(() => {
      // The pages then need a connection to open; everything else works.
    });
  // What is on its way for this page comes first.
  if (document.readyState === "complete") register();
  else window.addEventListener("load", register, { once: true });
}

function start() {
  const outcome = takeOutcome();
  if (outcome) refuse(outcome);
  const kept = outcome ? null : keptSession();
  if (kept) {
    enter(kept);
    show();
  }
  check();
  watchOtherTabs(followOtherTab);
  window.addEventListener("online", () => check());
  document.addEventListener("visibilitychange", look);
  setInterval(look, CHECK_EVERY_MS);
  window.addEventListener("beforeunload", (event) => store.atRisk && event.preventDefault());
  keepPagesOnPhone();
}

start();
