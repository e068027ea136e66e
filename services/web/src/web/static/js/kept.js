// Small things kept across visits. Where a browser gives no storage (cookies blocked, some private modes) even
// looking at it throws: they are then kept while the page is open.

const memory = new Map();

export function recall(key) {
  if (memory.has(key)) return memory.get(key);
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
    memory.delete(key);
  } catch {
    memory.set(key, value);
  }
}

export function forget(key) {
  memory.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // Then it was never kept there.
  }
}
