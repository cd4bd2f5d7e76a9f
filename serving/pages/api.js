// Talks to the HTTP API. Knows nothing of the page.

const KEY = "freshet-api-key";

/** An answer that is no success; status 0 if there was no answer at all. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const dropKey = () => sessionStorage.removeItem(KEY);

/** Returns {ready, lag_records, ...}, or null if the server does not answer. */
export async function health() {
  try {
    return await (await fetch("/health/ready")).json();
  } catch {
    return null;
  }
}

export const users = async (prefix = "") => (await get("/v1/users", { q: prefix })).users;
export const LIVE = { method: "GET", path: "/v1/live" };
export const live = () => ask(LIVE);
export const profile = (userId) => get(`/v1/users/${encodeURIComponent(userId)}/profile`);
export const search = async (words) => (await get("/v1/search", { q: words })).items;
export const similar = async (itemId) =>
  (await get(`/v1/items/${encodeURIComponent(itemId)}/similar`, { count: 5 })).items;

/** Sends one event and returns its token, for `after`. */
export const send = async (event) => (await posted("/v1/events", event)).token;

/** Sends one change of a user: a merge, say. */
export const change = (change) => posted("/v1/users", change);

async function posted(path, entry) {
  const { results } = await ask(post(path, [entry]));
  if (!results[0].accepted) throw new ApiError(400, results[0].error);
  return results[0];
}

/** Returns the request for a slate: by POST if anything is wished for, which GET cannot say. */
export function slateRequest(userId, wishes, after) {
  const asked = { count: 10, explain: true, ...(after && { after, wait_ms: 2000 }) };
  return Object.keys(wishes).length
    ? post("/v1/recommendations", { user_id: userId, ...wishes, ...asked })
    : { method: "GET", path: withQuery(`/v1/users/${encodeURIComponent(userId)}/recommendations`, asked) };
}

/** Sends a request and returns its decoded answer. */
export async function ask({ method, path, body }) {
  const headers = { ...(body && { "Content-Type": "application/json" }) };
  if (hasKey()) headers["X-API-Key"] = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(path, { method, headers, body, cache: "no-store" });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
  if (!response.ok) throw new ApiError(response.status, await problem(response));
  return response.json();
}

/** Returns a request as a command for the shell. A key is named, never shown. */
export function asCurl({ method, path, body }) {
  const words = ["curl", quoted(location.origin + path)];
  if (hasKey()) words.push('-H "X-API-Key: $FRESHET_API_KEY"');
  if (method === "POST") words.push("-H 'Content-Type: application/json'", "-d", quoted(body));
  return words.join(" ");
}

/** Returns an id that nobody else has. crypto.randomUUID is missing where the page came by plain HTTP. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const get = (path, query = {}) => ask({ method: "GET", path: withQuery(path, query) });
const post = (path, value) => ({ method: "POST", path, body: JSON.stringify(value) });
const withQuery = (path, query) => `${path}?${new URLSearchParams(query)}`;
const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;

async function problem(response) {
  try {
    const { title, detail } = await response.json();
    return detail || title;
  } catch {
    return `HTTP ${response.status}`;
  }
}
