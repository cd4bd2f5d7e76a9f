// The playground: choose a user, see history and slate, click, and measure how soon the slate has changed.

import * as api from "./api.js";
import * as draw from "./drawing.js";
import { $ } from "./drawing.js";

const KEPT_TIMES = 20;
const DEBOUNCE_MS = 150;
const POLL_MS = 1000;

/** What is on screen. `turn` counts the loads: an answer to an older one comes too late and is dropped. */
const shown = { userId: null, answer: null, turn: 0, acting: false, times: [] };

// Users

function userInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1); // typed by hand, with a stray %
  }
}

function choose(userId) {
  if (userId === userInAddress()) attempt(load);
  else location.hash = encodeURIComponent(userId); // hashchange loads, and the way back works
}

async function chooseFirst() {
  const [first] = await listUsers("");
  choose(first ?? newGuest());
}

async function chooseRandom() {
  const ids = await listUsers("");
  choose(ids.length ? ids[Math.floor(Math.random() * ids.length)] : newGuest());
}

async function listUsers(prefix) {
  const ids = await api.users(prefix);
  draw.userChoices(ids);
  return ids;
}

function newGuest() {
  const letters = [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => (byte % 36).toString(36));
  return `guest-${letters.join("")}`;
}

// History and slate

async function load() {
  const userId = userInAddress();
  if (!userId) return chooseFirst();
  const turn = ++shown.turn;
  $("user").value = userId;
  const known = userId === shown.userId;
  const [profile, slate] = await Promise.all([api.profile(userId), askSlate(userId)]);
  if (turn !== shown.turn) return;
  shown.userId = userId;
  draw.profile(profile);
  showSlate(slate, known);
}

async function askSlate(userId, after) {
  const request = api.slateRequest(userId, wishedDiversity(), after);
  return { request, answer: await api.ask(request) };
}

/** Shows a slate, with what is new in it if it follows another of the same user; returns whether it differs. */
function showSlate({ request, answer }, follows) {
  const before = follows && shown.answer ? shown.answer.items.map((item) => item.item_id) : null;
  shown.answer = answer;
  const focused = focusInSlate();
  draw.slate(answer, before && new Set(before));
  focusAgain(focused);
  $("curl").textContent = api.asCurl(request);
  $("json").textContent = JSON.stringify(answer, null, 2);
  return before?.join() !== answer.items.map((item) => item.item_id).join();
}

/** Where the keyboard is in the slate, as position and action, so that a new slate need not lose it. */
function focusInSlate() {
  const button = document.activeElement?.closest("#slate > li button[data-action]");
  const entry = button?.closest("#slate > li");
  return entry && { at: [...$("slate").children].indexOf(entry), action: button.dataset.action };
}

function focusAgain(focused) {
  if (!focused) return;
  const entry = $("slate").children[Math.min(focused.at, $("slate").children.length - 1)];
  entry?.querySelector(`[data-action=${focused.action}]`)?.focus({ preventScroll: true });
}

// Actions

/** Sends one event, asks for the slate that reflects it, and says how long the two took. */
async function act(type, entry) {
  if (shown.acting) return; // one at a time, so that each time means one event
  if (shown.userId !== userInAddress()) return load(); // another user's slate is on its way, or failed to come
  shown.acting = true;
  const turn = ++shown.turn;
  $("slate").setAttribute("aria-busy", "true");
  try {
    await measured(type, entry, turn);
  } finally {
    shown.acting = false;
    $("slate").removeAttribute("aria-busy");
  }
  if (turn !== shown.turn) return;
  const profile = await api.profile(shown.userId);
  if (turn === shown.turn) draw.profile(profile);
}

async function measured(type, entry, turn) {
  const started = performance.now();
  const { userId } = shown;
  const token = await api.send(eventOf(type, entry, userId));
  const accepted = performance.now();
  const slate = await askSlate(userId, token);
  const answered = performance.now();
  if (turn !== shown.turn) return;
  const changed = showSlate(slate, true);
  const ms = performance.now() - started;
  const { fresh, took_ms: tookMs } = slate.answer;
  draw.latency({ type, ms, acceptedMs: accepted - started, slateMs: answered - accepted, tookMs, fresh, changed });
  shown.times = [...shown.times, ms].slice(-KEPT_TIMES);
  draw.times(shown.times);
}

function eventOf(type, entry, userId) {
  const event = { event_id: api.newId(), type, user_id: userId, item_id: entry.dataset.itemId, event_time: Date.now() };
  if (entry.dataset.position === undefined) return event; // found by search: no slate led here
  return { ...event, recommendation_id: shown.answer.recommendation_id, position: Number(entry.dataset.position) };
}

async function showSimilar(entry) {
  if (!draw.closeSimilar(entry)) draw.openSimilar(entry, await api.similar(entry.dataset.itemId));
}

async function search() {
  const words = $("search").value.trim();
  if (!words) return;
  const items = await api.search(words);
  draw.found($("results"), items, ["click"]);
  draw.line("found", items.length ? "" : "Nothing found.");
}

// Diversity: untouched, the server's own setting holds

const wishedDiversity = () => ($("diversity-default").hidden ? null : Number($("diversity").value));

function touchDiversity() {
  $("diversity-default").hidden = false;
  $("diversity-value").textContent = Number($("diversity").value).toFixed(2);
}

function untouchDiversity() {
  $("diversity-default").hidden = true;
  $("diversity-value").textContent = "default";
  $("diversity").focus();
  attempt(load);
}

// What can go wrong

/** Runs one step of the page; an error is shown, a missing key asked for, an absent server waited for. */
async function attempt(step, ...values) {
  draw.line("error", "");
  try {
    await step(...values);
    $("key-form").hidden = true;
  } catch (error) {
    if (error.status === 401) return askForKey();
    draw.line("error", error.message);
    if (!(error instanceof api.ApiError)) throw error;
    if ([0, 503].includes(error.status)) await recover();
  }
}

function askForKey() {
  $("key-refused").hidden = !api.hasKey();
  api.dropKey();
  $("key-form").hidden = false;
  $("key").focus();
}

function useKey() {
  api.keepKey($("key").value.trim());
  $("key").value = "";
  return attempt(load);
}

let waiting = null;

/** Waits until the replica has caught up. Returns at once if it has; true if it had to wait. */
function untilReady() {
  waiting ??= pollHealth().finally(() => (waiting = null));
  return waiting;
}

async function pollHealth() {
  for (let polls = 0; ; polls += 1) {
    const health = await api.health();
    draw.line("note", noteOf(health));
    if (health?.ready) return polls > 0;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function noteOf(health) {
  if (!health) return "No answer from the server. Trying again each second.";
  return health.ready ? "" : `Catching up with Kafka: ${health.lag_records ?? "?"} records to go.`;
}

async function recover() {
  if (await untilReady()) await attempt(load);
}

// Wiring

function debounced(step) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(step, DEBOUNCE_MS);
  };
}

function onSubmit(id, step) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    step();
  });
}

function onAction({ target }) {
  const button = target.closest("button[data-action]");
  if (!button) return;
  const entry = button.closest("[data-item-id]");
  const { action } = button.dataset;
  if (action === "similar") attempt(showSimilar, entry);
  else attempt(act, action, entry);
}

const suggest = debounced(() => attempt(listUsers, $("user").value));

/** Typing asks for suggestions; choosing one of them (no typed text) chooses the user. */
function onUserInput({ inputType }) {
  if (!inputType || inputType === "insertReplacementText") choose($("user").value);
  else suggest();
}

async function start() {
  onSubmit("user-form", () => choose($("user").value.trim()));
  onSubmit("search-form", () => attempt(search));
  onSubmit("key-form", useKey);
  $("user").addEventListener("input", onUserInput);
  $("random").addEventListener("click", () => attempt(chooseRandom));
  $("guest").addEventListener("click", () => choose(newGuest()));
  $("diversity").addEventListener("input", touchDiversity);
  $("diversity").addEventListener("change", () => attempt(load));
  $("diversity-default").addEventListener("click", untouchDiversity);
  document.addEventListener("click", onAction);
  addEventListener("hashchange", () => attempt(load));
  await untilReady();
  await attempt(listUsers, "");
  await attempt(load);
}

start();
