// Sums over what was washed.

/**
 * All of it together. A load with several classes is one load.
 *
 * @param {WashedDays} washed
 */
export function total({ days, items }) {
  return {
    loads: sum(days.map(({ loads }) => loads)),
    corrected: sum(days.map(({ corrected }) => corrected)),
    pieces: sum(items.map(({ pieces }) => pieces)),
  };
}

/**
 * Each class over all days, the most frequent first.
 *
 * @param {WashedDays} washed
 */
export function byClass({ items }) {
  /** @type {Map<string, {label: string, pieces: number, loads: number, corrected: number}>} */
  const classes = new Map();
  for (const { label, pieces, loads, corrected } of items) {
    const known = classes.get(label) ?? { label, pieces: 0, loads: 0, corrected: 0 };
    classes.set(label, {
      label,
      pieces: known.pieces + pieces,
      loads: known.loads + loads,
      corrected: known.corrected + corrected,
    });
  }
  return [...classes.values()].sort((a, b) => b.pieces - a.pieces || (a.label < b.label ? -1 : 1));
}

/**
 * The rows of a file, without its header: a day and a class each.
 *
 * @param {WashedDays} washed
 * @param {(label: string) => string} nameOf
 * @returns {Array<Array<string | number>>}
 */
export function csvRows({ items }, nameOf) {
  return items.map(({ day, label, pieces, loads, corrected }) => [day, nameOf(label), pieces, loads, corrected]);
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}
