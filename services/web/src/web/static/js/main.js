// Starts the pages: who is signed in decides which one is shown.

import { Api } from "./api.js";
import { put } from "./dom.js";
import { frame } from "./frame.js";
import { HelperPage } from "./helper-page.js";
import { OperatorPage } from "./operator-page.js";
import { OwnerPage } from "./owner-page.js";
import { openPhotoStore } from "./photo-store.js";
import { Photos } from "./photos.js";
import { keptSession, signIn, signOut, takeFromAddress } from "./session.js";
import { noPage, startPage } from "./start-page.js";
import { chooseLanguage, t } from "./texts.js";
import { UploadQueue } from "./upload-queue.js";

const PAGES = { helper: HelperPage, owner: OwnerPage, operator: OperatorPage };
const app = document.getElementById("app");

let store;
let signedIn = null;
let page = null;
let notice = null;

async function enter(session) {
  leave();
  const api = new Api(session, () => expire(api));
  signedIn = { session, api, photos: new Photos(api), queue: null };
  if (session.role === "helper") signedIn.queue = await new UploadQueue(api, store).start();
}

function leave() {
  page?.close();
  page = null;
  signedIn?.queue?.stop();
  signedIn?.photos.close();
  signedIn = null;
}

/** The services no longer take the token. Photos that wait stay on the phone. */
function expire(api) {
  if (signedIn?.api !== api) return;
  const waiting = signedIn.queue?.items.length ?? 0;
  end(waiting ? { key: "start.expiredWaiting", values: { count: waiting } } : { key: "start.expired" });
}

function leaveByChoice() {
  const waiting = signedIn?.queue?.items.length ?? 0;
  if (waiting && !confirm(t("helper.signOutWaiting", { count: waiting }))) return;
  end(null);
}

function end(why) {
  signOut();
  leave();
  notice = why;
  show();
}

async function take(token) {
  const session = signIn(token);
  if (!session) return false;
  if (session.expired) {
    signOut();
    notice = { key: "start.expired" };
  } else {
    notice = null;
    await enter(session);
  }
  show();
  return true;
}

function show() {
  page?.close();
  page = null;
  const session = signedIn?.session ?? null;
  const Page = session && PAGES[session.role];
  let content;
  if (Page) {
    page = new Page(signedIn);
    content = page.element;
  } else if (session) {
    content = noPage({ session, onSignOut: leaveByChoice });
  } else {
    content = startPage({ notice: notice?.key, noticeValues: notice?.values ?? {}, onToken: takeTyped });
  }
  const address = Page ? `/${session.role}` : "/";
  if (location.pathname !== address) history.replaceState(null, "", address);
  document.title = Page ? t(`${session.role}.documentTitle`) : t("frame.name");
  put(app, ...frame({ session, onLanguage: speak, onSignOut: leaveByChoice }, content));
}

function takeTyped(text) {
  // Only what is no token at all can be told here; the rest the services tell.
  const looksRight = text.trim().split(".").length === 3;
  if (looksRight) take(text).then((taken) => taken || show());
  return looksRight;
}

function speak(language) {
  chooseLanguage(language);
  show();
}

function keepPagesOnPhone() {
  if (!navigator.serviceWorker) return;
  const address = "/sw.js";
  const policy = window.trustedTypes?.createPolicy("laundry", { createScriptURL: () => address });
  navigator.serviceWorker.register(policy ? policy.createScriptURL("") : address).catch(() => {
    // The pages then need a connection to open; everything else works.
  });
}

async function start() {
  store = await openPhotoStore();
  const given = takeFromAddress();
  const kept = keptSession();
  if (given !== null) {
    if (!(await take(given))) {
      notice = { key: "start.badToken" };
      show();
    }
  } else if (kept && !(kept.expired && navigator.onLine)) {
    await enter(kept);
    show();
  } else {
    if (kept) notice = { key: "start.expired" };
    signOut();
    show();
  }
  window.addEventListener("hashchange", () => {
    const token = takeFromAddress();
    if (token !== null) take(token);
  });
  keepPagesOnPhone();
}

start();
