// What can go wrong on any page: an error is shown, a missing key asked for, an absent server waited for.

import * as api from "./api.js";
import { $, line, whole } from "./dom.js";

const POLL_MS = 1000;

let again = () => {};

/** Says what to do once the key is there, or the server. Call it once. */
export function guard(retry) {
  again = retry;
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.keepKey($("key").value.trim());
    $("key").value = "";
    again();
  });
}

/** Runs one step of the page; returns whether it went well. */
export async function attempt(step, ...values) {
  line($("error"), "");
  try {
    await step(...values);
    $("key-form").hidden = true;
    return true;
  } catch (error) {
    await tell(error);
    return false;
  }
}

async function tell(error) {
  if (error.status === 401) return askForKey();
  line($("error"), error.message);
  if (!(error instanceof api.ApiError)) throw error;
  if ([0, 503].includes(error.status) && (await untilReady())) again();
}

function askForKey() {
  $("key-refused").hidden = !api.hasKey();
  api.dropKey();
  if (!$("key-form").hidden) return;
  $("key-form").hidden = false;
  $("key").focus();
}

let waiting = null;

/** Waits until the replica has caught up. Returns at once if it has; true if it had to wait. */
export function untilReady() {
  waiting ??= pollHealth().finally(() => (waiting = null));
  return waiting;
}

async function pollHealth() {
  for (let polls = 0; ; polls += 1) {
    const health = await api.health();
    line($("note"), noteOf(health));
    if (health?.ready) return polls > 0;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function noteOf(health) {
  if (!health) return "No answer from the server. Trying again each second.";
  return health.ready ? "" : `Catching up with Kafka: ${whole(health.lag_records ?? 0)} records to go.`;
}
