// Draws who is looked at, and how long what they did took to show. Asks nothing and remembers nothing.

import { $, counted, element, milliseconds, moment, percent } from "./dom.js";

const TOP_CATEGORIES = 6;

export function userChoices(ids) {
  $("users").replaceChildren(...ids.map((id) => element("option", { value: id })));
}

export function profile(answer) {
  const known = counted(answer.interactions, "interaction");
  const vectors = counted(answer.interests, "interest");
  $("profile").textContent = answer.interactions ? `${known}, ${vectors}, newest first` : "Nothing is known of this user.";
  if (answer.opted_out) $("profile").append(" Opted out.");
  const top = Object.entries(answer.categories).filter(([, share]) => share > 0).slice(0, TOP_CATEGORIES);
  $("categories").replaceChildren(...top.map(([name, share]) => category(name, share, top[0][1])));
  $("history").replaceChildren(...answer.history.map(historyEntry));
}

function category(name, share, highest) {
  const bar = element("span", { class: "bar" });
  bar.style.width = `${(share / highest) * 100}%`;
  const track = element("span", { class: "track", "aria-hidden": "true" }, bar);
  return element("li", {}, element("span", {}, name), track, element("span", { class: "number" }, percent(share)));
}

function historyEntry({ item_id, title, type, value, event_time }) {
  const said = value === null ? type : `${type} ${value}`;
  return element(
    "li",
    { "data-item-id": item_id },
    element("span", { class: "title" }, title || item_id),
    element("span", { class: "tag" }, said),
    element("time", { datetime: new Date(event_time).toISOString() }, moment(event_time)),
  );
}

/** Says how long something took to show, and how that splits. */
export function latency(what, ms, split) {
  $("latency").dataset.ms = ms.toFixed(1);
  $("latency").replaceChildren(`${what} `, element("strong", {}, milliseconds(Math.round(ms))));
  $("split").textContent = split;
}

/** Draws the last times as columns, and their median. */
export function times(list) {
  const highest = Math.max(...list);
  $("times").replaceChildren(...list.map((ms) => timeColumn(ms, highest)));
  $("median").textContent = `median ${Math.round(median(list))} ms of ${list.length}`;
  $("strip").hidden = false;
}

function timeColumn(ms, highest) {
  const said = `${Math.round(ms)} ms`;
  const column = element("span", { "aria-hidden": "true" });
  column.style.height = `${Math.max((ms / highest) * 100, 4)}%`;
  return element("li", { title: said }, column, element("span", { class: "unseen" }, said));
}

function median(list) {
  const sorted = list.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
