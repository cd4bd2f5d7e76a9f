// Draws one slate into its panel. Asks nothing and remembers nothing.

import { counted, element, line, milliseconds, moment } from "./dom.js";

const ACTIONS = { click: "Click", like: "Like", hide: "Hide", similar: "Similar" };

/**
 * Draws a slate.
 *
 * before: the ids of the slate before it of the same user, null for a first one: what was not among them is new.
 * beside: the ids of the slate that it is compared with, in their order; null for none.
 */
export function slate(panel, answer, before, beside) {
  const highest = Math.max(...answer.items.map((item) => total(item.parts)), 0);
  const mark = (item, at) => (beside ? movement(beside.indexOf(item.item_id), at) : isNew(item, before) ? "new" : "");
  const entries = answer.items.map((item, at) => entry(item, mark(item, at), isNew(item, before), highest));
  panel.querySelector(".slate").replaceChildren(...entries);
  panel.querySelector(".facts").textContent = facts(answer);
  panel.querySelector(".stale").hidden = !answer.stale;
  line(panel.querySelector(".degraded"), answer.degraded.length ? `Degraded: ${answer.degraded.join(", ")}` : "");
  const reason = removed(answer) || "the catalogue has no candidates";
  line(panel.querySelector(".empty"), answer.items.length ? "" : `Nothing to show: ${reason}.`);
  legend(panel.querySelector(".legend"), answer.items);
}

const isNew = (item, before) => before !== null && !before.includes(item.item_id);

function movement(there, here) {
  if (there < 0) return "only here";
  return there === here ? "" : there > here ? `↑ ${there - here}` : `↓ ${here - there}`;
}

function entry(item, mark, isFresh, highest) {
  const name = element("h3", {}, item.title || item.item_id);
  if (mark) name.append(" ", element("span", { class: "mark" }, mark));
  const why = item.reasons.map(sentence).join(" ");
  return element(
    "li",
    { ...names(item), "data-position": item.rank, class: isFresh ? "is-new" : "" },
    element("span", { class: "rank", "aria-hidden": "true" }, `${item.rank + 1}`),
    element("div", { class: "about" }, name, element("p", {}, why), scored(item, highest)),
    element("div", { class: "actions" }, ...Object.keys(ACTIONS).map((action) => button(action, item))),
  );
}

function scored(item, highest) {
  const parts = Object.entries(item.parts ?? {});
  const said = parts.filter(([, part]) => part).map(([name, part]) => `${name} ${part.toFixed(2)}`).join(", ");
  const bar = element("span", { class: "parts", role: "img", title: said, "aria-label": `Score from ${said}` });
  for (const [name, part] of parts.filter(([, part]) => part > 0)) {
    const piece = element("span", { "data-part": name });
    piece.style.width = `${(part / highest) * 100}%`;
    bar.append(piece);
  }
  const source = element("span", { class: "tag" }, item.source);
  return element("p", { class: "score" }, source, element("span", { class: "number" }, item.score.toFixed(2)), bar);
}

function legend(place, items) {
  const parts = items.flatMap((item) => Object.entries(item.parts ?? {})).filter(([, part]) => part > 0);
  const keys = [...new Set(parts.map(([name]) => name))].map((name) => element("span", {}, element("i", { "data-part": name }), name));
  place.replaceChildren(...(keys.length ? ["Score from", ...keys] : []));
}

function facts(answer) {
  const { as_of, interactions } = answer.profile;
  return [
    answer.variant !== "default" && answer.variant,
    answer.fallback && `cold start: ${answer.fallback}`,
    as_of !== null && `profile of ${counted(interactions, "interaction")} as of ${moment(as_of)}`,
    `server took ${milliseconds(answer.took_ms)}`,
    removed(answer),
  ].filter(Boolean).join(" · ");
}

const removed = (answer) =>
  Object.entries(answer.removed).map(([filter, count]) => `${count} ${filter.replaceAll("_", " ")}`).join(", ");

/** Draws items that were found, each with the buttons of `actions`. */
export function found(list, items, actions) {
  list.replaceChildren(...items.map((item) => foundItem(item, actions)));
}

function foundItem(item, actions) {
  return element(
    "li",
    names(item),
    element("span", { class: "title" }, item.title || item.item_id),
    element("span", { class: "number", title: "likeness" }, item.score.toFixed(2)),
    ...actions.map((action) => button(action, item)),
  );
}

/** Opens the list of similar items within a slate's item. */
export function openSimilar(entry, items) {
  closeSimilar(entry);
  const list = element("ol", { class: "found" });
  found(list, items, ["click"]);
  const group = { class: "similar", role: "group", "aria-label": `Similar to ${entry.dataset.title}` };
  entry.append(element("div", group, items.length ? list : "Nothing resembles it."));
  entry.querySelector("[data-action=similar]").setAttribute("aria-expanded", "true");
}

/** Closes it; returns whether it was open. */
export function closeSimilar(entry) {
  const open = entry.querySelector(".similar");
  open?.remove();
  entry.querySelector("[data-action=similar]").setAttribute("aria-expanded", "false");
  return open !== null;
}

function button(action, item) {
  const label = `${ACTIONS[action]} ${item.title || item.item_id}`;
  const expanded = action === "similar" ? { "aria-expanded": "false" } : {};
  const attributes = { type: "button", "data-action": action, "aria-label": label, ...expanded };
  return element("button", attributes, ACTIONS[action]);
}

const names = (item) => ({ "data-item-id": item.item_id, "data-title": item.title });

const total = (parts) => Object.values(parts ?? {}).reduce((sum, part) => sum + Math.max(part, 0), 0);
const sentence = (reason) => `${reason[0].toUpperCase()}${reason.slice(1)}.`;
