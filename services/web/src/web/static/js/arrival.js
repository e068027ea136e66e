// Parts of a page that come into it together.

const MOST_MS = 1500;

/**
 * Show nothing of an element before all is there that decides how high its parts are, or has let one wait for long: what
 * somebody is about to tap does not jump away.
 *
 * @param {HTMLElement} element
 * @param {Array<Promise<unknown> | undefined>} parts
 */
export function arriving(element, parts) {
  element.classList.add("arriving");
  const patience = new Promise((resolve) => setTimeout(resolve, MOST_MS));
  Promise.race([Promise.allSettled(parts), patience]).then(() => element.classList.remove("arriving"));
}
