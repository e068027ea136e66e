// The rows of a list: each stays as long as what it shows does, and with it the focus, the scrolling and its picture.

export class Rows {
  /** @type {Map<string, {row: HTMLElement, version: string}>} */
  #known = new Map();

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  /**
   * Show these in their order; `version` tells apart what a row may show.
   *
   * @param {Array<{key: string, version: string, make(): HTMLElement}>} wanted
   */
  show(wanted) {
    const known = this.#known;
    this.#known = new Map();
    for (const { key, version, make } of wanted) {
      const before = known.get(key);
      const row = before?.version === version ? before.row : make();
      // It has arrived before.
      if (before && row !== before.row) row.classList.add("settled");
      this.#known.set(key, { row, version });
    }
    arrange(
      this.list,
      [...this.#known.values()].map(({ row }) => row),
    );
  }

  /** @param {string} key */
  get(key) {
    return this.#known.get(key);
  }
}

/**
 * Bring a list to an order with the fewest moves.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} rows
 */
export function arrange(list, rows) {
  const wanted = new Set(/** @type {Element[]} */ (rows));
  for (const row of [...list.children]) if (!wanted.has(row)) row.remove();
  let place = list.firstElementChild;
  for (const row of rows) {
    // What stands before it moves in its own turn.
    if (row === place?.nextElementSibling) place = row;
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
  }
}
