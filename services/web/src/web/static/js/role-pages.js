// The page of each role. Its modules are fetched when somebody of that role is there.

import { LazyParts } from "./lazy-parts.js";

/**
 * @typedef {(new (signedIn: SignedIn) => ShownPage) & {
 *   ready?(): Promise<unknown>,
 *   queueOf?(api: import("./api.js").Api, store: import("./photo-store.js").PhotoStore): SignedIn["queue"],
 * }} Page
 */

/** @type {LazyParts<Page>} */
export const pages = new LazyParts({
  helper: async () => whole((await import("./helper-page.js")).HelperPage),
  owner: async () => whole((await import("./owner-page.js")).OwnerPage),
  operator: async () => whole((await import("./operator-page.js")).OperatorPage),
  customer: async () => whole((await import("./customer-page.js")).CustomerPage),
});

/**
 * A page comes with the view that it opens with: nothing on it moves when that comes.
 *
 * @param {Page} page
 */
async function whole(page) {
  await page.ready?.();
  return page;
}
