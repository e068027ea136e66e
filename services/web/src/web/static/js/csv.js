// Tables for spreadsheets (RFC 4180).

// Without it Excel takes the file for one of the machine's own encoding, and Korean for noise.
const BYTE_ORDER_MARK = "\ufeff";
// A cell that begins so is a formula to a spreadsheet, whoever wrote it.
const FORMULA = /^[\s]*[=+\-@\t\r\n]/;

/** @param {string | number} value */
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Write rows as the text of a file.
 *
 * @param {Array<Array<string | number>>} rows
 */
export function csvOf(rows) {
  return BYTE_ORDER_MARK + rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
