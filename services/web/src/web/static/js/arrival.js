// Parts of a page that come into it together.

const MOST_MS = 1500;
/** @type {WeakMap<Element, Promise<void>>} */
const arrivals = new WeakMap();

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
  const all = Promise.race([Promise.allSettled(parts), patience]);
  arrivals.set(
    element,
    all.then(() => element.classList.remove("arriving")),
  );
}

/**
 * When what an element is part of is shown; undefined if it is. Until then nothing in it takes the focus.
 *
 * @param {Element} element
 */
export function arrivalOf(element) {
  const whole = element.closest(".arriving");
  return whole ? arrivals.get(whole) : undefined;
}
