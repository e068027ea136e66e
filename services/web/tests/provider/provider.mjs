// A certified OpenID provider (npm oidc-provider), set up as a chain might: groups in its access tokens, no roles.
// Reads its settings as JSON from the first argument; says "ready" when it listens.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import Provider from "oidc-provider";

const { issuer, port, pages, clientId, clientSecret, audience, people, lifeS, rotates } = JSON.parse(process.argv[2]);
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const RESOURCE = "urn:laundry:api";

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: pages.map((page) => `${page}/auth/callback`),
      post_logout_redirect_uris: pages.map((page) => `${page}/`),
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "test" }] },
  cookies: { keys: ["only for this test"] },
  claims: { profile: ["name"] },
  conformIdTokenClaims: false,
  scopes: ["openid", "profile", "offline_access"],
  pkce: { required: () => true },
  rotateRefreshToken: () => rotates,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: people[id]?.name ?? id }) }),
  extraTokenClaims: (_, token) => ({ groups: people[token.accountId]?.groups ?? [] }),
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "",
        audience,
        accessTokenFormat: "jwt",
        accessTokenTTL: lifeS,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});

const PAGE = `<!doctype html><title>Provider</title><form method="post">
  <label>Account <input name="login"></label> <button>Go on</button></form>`;

/** Ask who it is, and take it for consent, too. */
async function interact(request, response) {
  if (request.method !== "POST") {
    response.setHeader("Content-Type", "text/html");
    response.end(PAGE);
    return;
  }
  const accountId = new URLSearchParams(await text(request)).get("login");
  const { params } = await provider.interactionDetails(request, response);
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope(params.scope);
  await provider.interactionFinished(request, response, {
    login: { accountId },
    consent: { grantId: await grant.save() },
  });
}

const answer = provider.callback();
createServer((request, response) => {
  if (request.url.startsWith("/interaction/")) interact(request, response).catch((error) => response.destroy(error));
  else answer(request, response);
}).listen(port, "127.0.0.1", () => console.log("ready"));
