// The page of each role. Its modules are fetched when somebody of that role is there.

/** @typedef {new (signedIn: SignedIn) => ShownPage} Page */

/** @type {Record<string, () => Promise<Page>>} */
const PAGES = {
  helper: async () => (await import("./helper-page.js")).HelperPage,
  owner: async () => (await import("./owner-page.js")).OwnerPage,
  operator: async () => (await import("./operator-page.js")).OperatorPage,
  customer: async () => (await import("./customer-page.js")).CustomerPage,
};
/** @type {Map<string, Page>} */
const fetched = new Map();

/** @param {string} role */
export function hasPage(role) {
  return Object.hasOwn(PAGES, role);
}

/**
 * The page of a role that has one, or null as long as it is not there: `onFetched()` is called once it is, or
 * `onFailed()` if it cannot be had.
 *
 * @param {string} role
 * @param {{onFetched(): void, onFailed(): void}} then
 */
export function pageOf(role, { onFetched, onFailed }) {
  const page = fetched.get(role);
  if (page) return page;
  PAGES[role]().then((found) => {
    fetched.set(role, found);
    onFetched();
  }, onFailed);
  return null;
}
