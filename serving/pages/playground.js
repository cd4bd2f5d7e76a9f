// The playground: choose a user, see history and slate, click, and measure how soon the slate has changed.

import * as api from "./api.js";
import * as draw from "./history_drawing.js";
import { closeSimilar, found, openSimilar } from "./slate_drawing.js";
import { $, counted, line, milliseconds } from "./dom.js";
import { attempt, guard, untilReady } from "./door.js";
import { logIn } from "./login.js";
import { Panel } from "./panel.js";
import { choose, chooseFirst, chooseRandom, isGuest, listUsers, newGuest, userInAddress } from "./users.js";

const KEPT_TIMES = 20;
const DEBOUNCE_MS = 150;
const PAST = { click: "Click", like: "Like", hide: "Hide" };

/** What is on screen. `turn` counts the loads: an answer to an older one comes too late and is dropped. */
const shown = { userId: null, turn: 0, acting: false, times: [] };
const reload = () => attempt(load);
const one = new Panel("one", "Slate", reload);
const two = new Panel("two", "Compared", reload);

// History and slates

async function load() {
  const userId = userInAddress();
  if (!userId) return chooseFirst();
  const turn = ++shown.turn;
  const follows = userId === shown.userId;
  const [profile, ...slates] = await Promise.all([api.profile(userId), ...open().map((panel) => panel.ask(userId))]);
  if (turn !== shown.turn) return;
  shown.userId = userId;
  showUser(userId, profile);
  open().forEach((panel, at) => panel.show(slates[at], follows, panel === two ? one : null));
}

const open = () => [one, two].filter((panel) => panel.isOpen);

function showUser(userId, profile) {
  $("user").value = userId;
  $("merge-form").hidden = !isGuest(userId) || !profile.interactions;
  draw.profile(profile);
}

function compare() {
  const isOpen = (two.place.hidden = !two.place.hidden);
  $("compare").setAttribute("aria-pressed", !isOpen);
  return load();
}

// Actions

/** Sends one event, asks for the slate that reflects it, and says how long the two took. */
async function act(type, entry) {
  if (shown.acting) return; // one at a time, so that each time means one event
  if (shown.userId !== userInAddress()) return load(); // another user's slate is on its way, or failed to come
  shown.acting = true;
  const turn = ++shown.turn;
  open().forEach((panel) => panel.busy(true));
  try {
    await measured(type, entry, turn);
  } finally {
    shown.acting = false;
    open().forEach((panel) => panel.busy(false));
  }
}

async function measured(type, entry, turn) {
  const { userId } = shown;
  const started = performance.now();
  const token = await api.send(eventOf(type, entry, userId));
  const accepted = performance.now();
  const slate = await one.ask(userId, token);
  const answered = performance.now();
  if (turn !== shown.turn) return;
  const changed = one.show(slate, true);
  const ms = performance.now() - started;
  tell(PAST[type], ms, { accepted: accepted - started, answered: answered - accepted, changed, ...slate.answer });
  const [profile, beside] = await Promise.all([api.profile(userId), two.isOpen && two.ask(userId, token)]);
  if (turn !== shown.turn) return;
  showUser(userId, profile);
  if (beside) two.show(beside, true, one);
}

function tell(what, ms, { accepted, answered, changed, fresh, took_ms: took }) {
  const outcome = !fresh ? "slate, not yet fresh" : changed ? "changed slate" : "unchanged slate";
  const split = [`event in Kafka after ${milliseconds(accepted)}`, `slate ${milliseconds(answered)}`];
  split.push(`of which the server took ${milliseconds(took)}`, `fresh: ${fresh}`);
  draw.latency(`${what} to ${outcome}`, ms, split.join(" · "));
  shown.times = [...shown.times, ms].slice(-KEPT_TIMES);
  draw.times(shown.times);
}

function eventOf(type, entry, userId) {
  const event = { event_id: api.newId(), type, user_id: userId, item_id: entry.dataset.itemId, event_time: Date.now() };
  if (entry.dataset.position === undefined) return event; // found by search: no slate led here
  const { answer } = two.place.contains(entry) ? two : one;
  return { ...event, recommendation_id: answer.recommendation_id, position: Number(entry.dataset.position) };
}

async function merge() {
  const [guest, target] = [shown.userId, $("target").value.trim()];
  const { ms, kept } = await logIn(guest, target);
  $("target").value = "";
  draw.latency("Guest to user", ms, `${guest} is ${target} now and keeps ${counted(kept, "interaction")}`);
  choose(target);
}

async function showSimilar(entry) {
  if (!closeSimilar(entry)) openSimilar(entry, await api.similar(entry.dataset.itemId));
}

async function search() {
  const words = $("search").value.trim();
  if (!words) return;
  const items = await api.search(words);
  found($("results"), items, ["click"]);
  line($("found"), items.length ? "" : "Nothing found.");
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

const goTo = (userId) => choose(userId) || reload();
const suggest = debounced(() => attempt(listUsers, $("user").value));

/** Typing asks for suggestions; choosing one of them (no typed text) chooses the user. */
function onUserInput({ inputType }) {
  if (!inputType || inputType === "insertReplacementText") goTo($("user").value);
  else suggest();
}

async function start() {
  two.leaveOut("covisitation sequence profile kind fresh");
  guard(reload);
  onSubmit("user-form", () => goTo($("user").value.trim()));
  onSubmit("search-form", () => attempt(search));
  onSubmit("merge-form", () => attempt(merge));
  $("user").addEventListener("input", onUserInput);
  $("random").addEventListener("click", () => attempt(chooseRandom));
  $("guest").addEventListener("click", () => goTo(newGuest()));
  $("compare").addEventListener("click", () => attempt(compare));
  document.addEventListener("click", onAction);
  addEventListener("hashchange", reload);
  await untilReady();
  await attempt(listUsers, "");
  await reload();
}

start();
