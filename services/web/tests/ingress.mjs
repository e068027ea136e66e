// TLS and HTTP/2 in front of a server that speaks HTTP/1.1, as an ingress is.
// node ingress.mjs <certificate> <key> <address of the server>; says its own port.

import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createSecureServer } from "node:http2";

const [certificate, key, address] = process.argv.slice(2);
const ONE_CONNECTION = ["connection", "keep-alive", "transfer-encoding"];
const agent = new Agent({ keepAlive: true });
const server = createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) });

/** @param {import("node:http").IncomingHttpHeaders} headers */
function passedOn(headers) {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith(":") && !ONE_CONNECTION.includes(name)),
  );
}

server.on("request", (asked, answered) => {
  const headers = { ...passedOn(asked.headers), host: new URL(address).host };
  const passed = request(new URL(asked.url, address), { method: asked.method, headers, agent }, (answer) => {
    answered.writeHead(answer.statusCode, passedOn(answer.headers));
    answer.pipe(answered);
  });
  passed.on("error", () => answered.destroy());
  answered.on("close", () => passed.destroy());
  asked.pipe(passed);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
