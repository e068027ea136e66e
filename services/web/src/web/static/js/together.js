// Photos of one load, as people see them: together.

/**
 * In the order that they have, but the photos of a load follow its first.
 *
 * @param {Task[]} tasks
 */
export function together(tasks) {
  return [...byLoad(tasks).values()].flat();
}

/**
 * Which photo of its load a task is, of how many among these: {place: 2, count: 3}; null for a single photo.
 *
 * @param {Task} task
 * @param {Task[]} tasks
 */
export function placeIn(task, tasks) {
  const load = byLoad(tasks).get(loadOf(task)) ?? [];
  const place = load.findIndex(({ id }) => id === task.id) + 1;
  return load.length > 1 && place ? { place, count: load.length } : null;
}

/** @param {Task} task */
function loadOf({ id, helper_id, load_id }) {
  // A helper's client chose the name.
  return load_id ? `${helper_id} ${load_id}` : id;
}

/** @param {Task[]} tasks */
function byLoad(tasks) {
  /** @type {Map<string, Task[]>} */
  const loads = new Map();
  for (const task of tasks) {
    const load = loads.get(loadOf(task));
    if (load) load.push(task);
    else loads.set(loadOf(task), [task]);
  }
  return loads;
}
