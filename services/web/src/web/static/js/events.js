// Server-sent events read from a fetch, since EventSource tells neither a status nor a silence.

/** Turns chunks of text into events {type, data, id} (WHATWG HTML §9.2.6). */
export class EventParser {
  #rest = "";
  #skipNewline = false;
  /** @type {string[]} */
  #data = [];
  #type = "";
  #id = "";

  /**
   * Take a chunk; return the events that it completed.
   *
   * @param {string} chunk
   * @returns {StreamEvent[]}
   */
  push(chunk) {
    if (chunk === "") return [];
    // A chunk may end between the two characters of a CRLF.
    const text = this.#skipNewline && chunk.startsWith("\n") ? chunk.slice(1) : chunk;
    this.#skipNewline = chunk.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#type = "";
    return empty ? null : event;
  }
}

/**
 * Read a response to its end, calling `onEvent` for each event and `onBytes` for any sign of life.
 *
 * @param {Response} response
 * @param {{onEvent(event: StreamEvent): void, onBytes(): void}} to
 */
export async function readEvents(response, { onEvent, onBytes }) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      for (const event of parser.push(value)) onEvent(event);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
