// Puts answers on the page. Asks nothing and remembers nothing. Titles are other people's text: never innerHTML.

export const $ = (id) => document.getElementById(id);

const TOP_CATEGORIES = 6;
const ACTIONS = { click: "Click", like: "Like", hide: "Hide", similar: "Similar" };
const LOCAL_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Shows a line of text, or hides its place if there is none. */
export function line(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

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
  const when = new Date(event_time);
  return element(
    "li",
    { "data-item-id": item_id },
    element("span", { class: "tag" }, said),
    element("span", { class: "title" }, title || item_id),
    element("time", { datetime: when.toISOString() }, LOCAL_TIME.format(when)),
  );
}

/** Draws a slate. Items outside `before` (the ids of the slate before; null for a first one) are marked new. */
export function slate(answer, before) {
  const highest = Math.max(...answer.items.map((item) => total(item.parts)), 0);
  const isNew = (item) => before !== null && !before.has(item.item_id);
  $("slate").replaceChildren(...answer.items.map((item) => slateItem(item, isNew(item), highest)));
  $("facts").textContent = facts(answer);
  $("stale").hidden = !answer.stale;
  line("degraded", answer.degraded.length ? `Degraded: ${answer.degraded.join(", ")}` : "");
  line("empty", answer.items.length ? "" : `Nothing to show: ${removed(answer) || "the catalogue has no candidates"}.`);
  legend(answer.items);
}

function slateItem(item, isNew, highest) {
  const name = element("h3", {}, item.title || item.item_id);
  if (isNew) name.append(" ", element("span", { class: "mark" }, "new"));
  return element(
    "li",
    { "data-item-id": item.item_id, "data-title": item.title, "data-position": item.rank, class: isNew ? "is-new" : "" },
    element("span", { class: "rank", "aria-hidden": "true" }, `${item.rank + 1}`),
    element("div", { class: "about" }, name, element("p", {}, item.reasons.map(sentence).join(" ")), scored(item, highest)),
    element("div", { class: "actions" }, ...Object.keys(ACTIONS).map((action) => button(action, item))),
  );
}

function scored(item, highest) {
  const parts = Object.entries(item.parts ?? {}).filter(([, part]) => part > 0);
  const said = parts.map(([name, part]) => `${name} ${part.toFixed(3)}`).join(" + ");
  const bar = element("span", { class: "parts", role: "img", title: said, "aria-label": `Score from ${said}` });
  for (const [name, part] of parts) {
    const piece = element("span", { "data-part": name });
    piece.style.width = `${(part / highest) * 100}%`;
    bar.append(piece);
  }
  const source = element("span", { class: "tag" }, item.source);
  return element("p", { class: "score" }, source, element("span", { class: "number" }, item.score.toFixed(2)), bar);
}

function legend(items) {
  const names = new Set(items.flatMap((item) => Object.keys(item.parts ?? {})));
  const keys = [...names].map((name) => element("span", {}, element("i", { "data-part": name }), name));
  $("legend").replaceChildren(...(keys.length ? ["Score from", ...keys] : []));
}

function facts(answer) {
  const { as_of, interactions } = answer.profile;
  return [
    answer.fallback && `cold start: ${answer.fallback}`,
    as_of !== null && `profile of ${counted(interactions, "interaction")} as of ${LOCAL_TIME.format(as_of)}`,
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
    { "data-item-id": item.item_id, "data-title": item.title },
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
  const content = items.length ? list : "Nothing resembles it.";
  entry.append(element("aside", { "aria-label": `Similar to ${entry.dataset.title}` }, content));
  entry.querySelector("[data-action=similar]").setAttribute("aria-expanded", "true");
}

/** Closes it; returns whether it was open. */
export function closeSimilar(entry) {
  const open = entry.querySelector("aside");
  open?.remove();
  entry.querySelector("[data-action=similar]").setAttribute("aria-expanded", "false");
  return open !== null;
}

/** Says how long a click took to show in the slate, and how that splits. */
export function latency({ type, ms, acceptedMs, slateMs, tookMs, fresh, changed }) {
  const outcome = !fresh ? "slate, not yet fresh" : changed ? "changed slate" : "unchanged slate";
  $("latency").dataset.ms = ms.toFixed(1);
  $("latency").replaceChildren(`${ACTIONS[type]} to ${outcome}: `, element("strong", {}, `${Math.round(ms)} ms`));
  $("split").textContent =
    `event accepted after ${milliseconds(acceptedMs)} · slate ${milliseconds(slateMs)}, ` +
    `of which the server took ${milliseconds(tookMs)} · fresh: ${fresh}`;
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

function button(action, item) {
  const label = `${ACTIONS[action]} ${item.title || item.item_id}`;
  const expanded = action === "similar" ? { "aria-expanded": "false" } : {};
  return element("button", { type: "button", "data-action": action, "aria-label": label, ...expanded }, ACTIONS[action]);
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const total = (parts) => Object.values(parts ?? {}).reduce((sum, part) => sum + Math.max(part, 0), 0);
const sentence = (reason) => `${reason[0].toUpperCase()}${reason.slice(1)}.`;
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const percent = (share) => `${Math.round(share * 100)} %`;
const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
