// Photos that no service has confirmed yet, kept on the phone across reloads, crashes and days without a signal.

const NAME = "laundry";
const STORE = "photos";

function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
  });
}

class DatabaseStore {
  lasting = true;

  constructor(database) {
    this.database = database;
  }

  async put(photo) {
    // Strict: told only once it is on the disk, because the person may then delete or lose the original.
    const transaction = this.database.transaction(STORE, "readwrite", { durability: "strict" });
    transaction.objectStore(STORE).put(photo);
    await finished(transaction);
  }

  async get(key) {
    return asked(this.database.transaction(STORE).objectStore(STORE).get(key));
  }

  async remove(key) {
    const transaction = this.database.transaction(STORE, "readwrite");
    transaction.objectStore(STORE).delete(key);
    await finished(transaction);
  }

  /** All photos of a person, oldest first. */
  async of(sub) {
    const all = await asked(this.database.transaction(STORE).objectStore(STORE).index("sub").getAll(sub));
    return all.sort((a, b) => a.addedAt - b.addedAt);
  }
}

/** Where a browser gives no database (some private modes): kept only while the page is open, and said so. */
class MemoryStore {
  lasting = false;
  #photos = new Map();

  async put(photo) {
    this.#photos.set(photo.key, photo);
  }

  async get(key) {
    return this.#photos.get(key);
  }

  async remove(key) {
    this.#photos.delete(key);
  }

  async of(sub) {
    return [...this.#photos.values()].filter((photo) => photo.sub === sub);
  }
}

export async function openPhotoStore() {
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: "key" }).createIndex("sub", "sub");
    };
    const database = await asked(request);
    // A newer page of ours in another tab must not be held up by this one.
    database.onversionchange = () => database.close();
    // So that the browser does not clear it when the phone runs out of room; it may refuse.
    await navigator.storage?.persist?.().catch(() => false);
    return new DatabaseStore(database);
  } catch {
    return new MemoryStore();
  }
}
