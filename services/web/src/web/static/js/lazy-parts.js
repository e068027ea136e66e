// Parts of the pages that are fetched when they are first opened.

/** @template Part */
export class LazyParts {
  /** @type {Map<string, Part>} */
  #fetched = new Map();
  #opened = 0;

  /**
   * The part of each name; the first is what opens where nothing else is asked for. The service names those that a
   * page opens with in its document: each needs a line of the form `name: async () => (await import("…")).Part`.
   *
   * @param {Record<string, () => Promise<Part>>} parts
   */
  constructor(parts) {
    this.parts = parts;
    this.names = Object.keys(parts);
  }

  /** The one that the address asks for. */
  get asked() {
    const asked = new URLSearchParams(location.search).get("view") ?? "";
    return this.has(asked) ? asked : this.names[0];
  }

  /** @param {string} name */
  has(name) {
    return this.names.includes(name);
  }

  /**
   * Rejects if it cannot be fetched, for want of a connection.
   *
   * @param {string} name
   */
  async fetch(name) {
    const part = this.#fetched.get(name) ?? (await this.parts[name]());
    this.#fetched.set(name, part);
    return part;
  }

  /**
   * Call `onThere(part)`, at once if it has been fetched, or `onFailed()` if it cannot be fetched; neither once something
   * else was opened.
   *
   * @param {string} name
   * @param {(part: Part) => void} onThere
   * @param {() => void} onFailed
   */
  open(name, onThere, onFailed) {
    this.#opened += 1;
    const opened = this.#opened;
    const part = this.#fetched.get(name);
    if (part) onThere(part);
    else
      this.fetch(name).then(
        (fetched) => opened === this.#opened && onThere(fetched),
        () => opened === this.#opened && onFailed(),
      );
  }

  /** Nothing is waited for any longer. */
  close() {
    this.#opened += 1;
  }
}
