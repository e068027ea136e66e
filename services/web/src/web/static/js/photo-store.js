// Photos that no service has confirmed yet, kept on the phone across reloads, crashes and days without a signal.

import { within } from "./patience.js";

const NAME = "laundry";
const STORE = "photos";
const OPEN_MS = 4000;
const READ_MS = 10000;
// 30 MB onto a slow phone's disk, strictly.
const WRITE_MS = 20000;

/**
 * @template Result
 * @param {IDBRequest<Result>} request
 * @returns {Promise<Result>}
 */
function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
  });
}

/** @param {IDBTransaction} transaction */
function abort(transaction) {
  try {
    transaction.abort();
  } catch {
    // It has ended.
  }
}

function shownAgain() {
  return new Promise((resolve) => window.addEventListener("pageshow", resolve, { once: true }));
}

/** @param {KeptPhoto} photo */
async function asBytes({ blob, ...photo }) {
  return { ...photo, bytes: await blob.arrayBuffer(), type: blob.type };
}

/**
 * @param {any} photo as it lies in the database
 * @returns {KeptPhoto}
 */
function asBlob({ bytes, type, ...photo }) {
  return photo.blob ? photo : { ...photo, blob: new Blob([bytes], { type }) };
}

/**
 * A browser's database says what it can do only when it is written to, so each photo is judged by its own write: as
 * a Blob, as bytes (a private session of WebKit takes only those), and else kept in memory, while the page is open.
 */
export class PhotoStore {
  /** @type {Promise<IDBDatabase> | null} */
  #opening = null;
  #bytesOnly = false;
  /** @type {Map<string, KeptPhoto>} */
  #memory = new Map();
  #askedToPersist = false;

  /** Whether closing the page would lose a photo. */
  get atRisk() {
    return this.#memory.size > 0;
  }

  /**
   * Keep a photo. Resolves to null once it is on the disk, or to why it is only in memory.
   *
   * @param {KeptPhoto} photo
   * @param {{insteadOf?: string | null}} options the key of one that leaves the store as this one enters it
   * @returns {Promise<Unkept | null>}
   */
  async put(photo, { insteadOf = null } = {}) {
    try {
      await this.#write(photo, insteadOf);
      if (insteadOf !== null) this.#memory.delete(insteadOf);
    } catch (error) {
      this.#memory.set(photo.key, photo);
      if (insteadOf !== null) await this.remove(insteadOf).catch(() => {});
      return error?.name === "QuotaExceededError" ? "no-room" : "no-store";
    }
    this.#memory.delete(photo.key);
    this.#askToPersist();
    return null;
  }

  /**
   * Whether a photo is still to be sent: another tab may have done it. Who cannot be asked has not.
   *
   * @param {string} key
   */
  async has(key) {
    if (this.#memory.has(key)) return true;
    try {
      return (await this.#read((photos) => photos.count(key))) > 0;
    } catch {
      return true;
    }
  }

  /** @param {string} key */
  async remove(key) {
    this.#memory.delete(key);
    await this.#change((photos) => photos.delete(key));
  }

  /**
   * All photos of a person, oldest first.
   *
   * @param {string} sub
   * @returns {Promise<KeptPhoto[]>}
   */
  async of(sub) {
    const inMemory = [...this.#memory.values()].filter((photo) => photo.sub === sub);
    // Nobody is kept waiting by this, so a database that is slow to open is waited for.
    await this.#patiently().catch(() => null);
    const onDisk = await this.#read((photos) => photos.index("sub").getAll(sub)).catch(() => []);
    const known = new Set(inMemory.map((photo) => photo.key));
    const all = [...inMemory, ...onDisk.filter((photo) => !known.has(photo.key)).map(asBlob)];
    return all.sort((a, b) => a.addedAt - b.addedAt);
  }

  /**
   * Why a photo is only in memory cannot be told any more, but that it is.
   *
   * @param {string} key
   */
  inMemory(key) {
    return this.#memory.has(key);
  }

  /**
   * @param {KeptPhoto} photo
   * @param {string | null} insteadOf
   */
  async #write(photo, insteadOf) {
    /** @param {any} kept */
    const how = (kept) => (/** @type {IDBObjectStore} */ photos) => {
      if (insteadOf !== null) photos.delete(insteadOf);
      return photos.put(kept);
    };
    if (!this.#bytesOnly) {
      try {
        return await this.#change(how(photo));
      } catch (error) {
        if (["QuotaExceededError", "TimeoutError"].includes(error?.name)) throw error;
      }
    }
    const inBytes = await asBytes(photo);
    await this.#change(how(inBytes));
    this.#bytesOnly = true;
  }

  /** @param {(photos: IDBObjectStore) => IDBRequest} how */
  async #change(how) {
    const database = await this.#database();
    // Strict: told only once it is on the disk, because the person may then delete or lose the original.
    const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
    const done = finished(transaction);
    // Where the request itself throws, nobody waits for the end.
    done.catch(() => {});
    how(transaction.objectStore(STORE));
    await within(WRITE_MS, done);
  }

  /**
   * @template Result
   * @param {(photos: IDBObjectStore) => IDBRequest<Result>} how
   */
  async #read(how) {
    for (;;) {
      const database = await this.#database();
      const transaction = database.transaction(STORE);
      const left = { back: /** @type {Promise<unknown> | null} */ (null) };
      // WebKit leaves a read of a page that goes away open for good, and every later write waits for it.
      const leave = () => {
        left.back = shownAgain();
        abort(transaction);
      };
      window.addEventListener("pagehide", leave, { once: true });
      try {
        return await within(READ_MS, asked(how(transaction.objectStore(STORE))));
      } catch (error) {
        abort(transaction);
        if (!left.back) throw error;
        await left.back;
      } finally {
        window.removeEventListener("pagehide", leave);
      }
    }
  }

  #database() {
    // One that opens later is there for the next photo.
    return within(OPEN_MS, this.#patiently());
  }

  #patiently() {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async #open() {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: "key" }).createIndex("sub", "sub");
    };
    const database = await asked(request);
    const closed = () => {
      this.#opening = null;
    };
    database.onclose = closed;
    // A newer page of ours in another tab must not be held up by this one.
    database.onversionchange = () => {
      database.close();
      closed();
    };
    return database;
  }

  /** So that the browser does not clear it when the phone runs out of room. It may ask the person, or refuse. */
  #askToPersist() {
    if (this.#askedToPersist) return;
    this.#askedToPersist = true;
    try {
      navigator.storage?.persist?.().catch(() => {});
    } catch {
      // Then it is kept as long as the browser likes.
    }
  }
}
