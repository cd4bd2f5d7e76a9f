// A guest logs in: their history goes over to a user, through Kafka like everything else.

import * as api from "./api.js";

const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Merges a guest into a user and returns, once the user's profile holds all that the guest's did, how long it took. */
export async function logIn(guest, target) {
  const kept = (await api.profile(guest)).history;
  const started = performance.now();
  await api.change({ user_id: guest, action: "merge", target, event_time: Date.now() });
  while (!holds(await api.profile(target), kept)) {
    if (performance.now() - started > PATIENCE_MS) throw new api.ApiError(504, "The merge has not come through yet.");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return { ms: performance.now() - started, kept: kept.length };
}

function holds(profile, entries) {
  const known = new Set(profile.history.map(identity));
  return entries.every((entry) => known.has(identity(entry)));
}

const identity = ({ item_id, type, event_time }) => `${item_id} ${type} ${event_time}`;
