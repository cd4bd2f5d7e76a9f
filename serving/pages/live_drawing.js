// Puts readings on the live page. Asks nothing and remembers nothing but which events were there before.

import { columns, lines } from "./chart.js";
import { $, clock, counted, element, milliseconds, rate, say, whole } from "./dom.js";
import { quantile, total } from "./histogram.js";
import { POINTS } from "./readings.js";

const SHOWN_EVENTS = 20;
const SHOWN_LETTERS = 5;
const SHOWN_ROUTES = 8;
const NONE = "–";

const or = (write) => (value) => (value === null || value === undefined ? NONE : write(value));
const bare = or((ms) => (ms < 10 ? ms.toFixed(1) : whole(ms)));
const inMs = or(milliseconds);

export function all(readings) {
  const { now } = readings;
  state(now, readings.others);
  freshness(readings);
  figures(readings);
  routes(readings.routes());
  holds(now);
  if (now.log) events(now.log);
  if (now.log) letters(now.log);
  document.body.dataset.at = now.now_ms;
}

function state({ ready, stale, variant, replica, now_ms: at }, isOneOfSeveral) {
  $("lamp").dataset.state = ready && !stale ? "well" : "ill";
  const said = !ready ? "catching up with Kafka" : stale ? "Kafka is away: answering from memory" : "ready";
  const which = isOneOfSeveral ? [`replica ${replica}, one of several`] : [];
  say($("state-text"), [said, variant, ...which, clock(at)].join(" · "));
}

function freshness(readings) {
  const { histogram, isLate } = readings.freshness();
  say($("fresh-p50"), bare(quantile(histogram, 0.5)));
  say($("fresh-p95"), inMs(quantile(histogram, 0.95)));
  say($("fresh-p99"), inMs(quantile(histogram, 0.99)));
  say($("fresh-over"), isLate ? "measured in a minute" : "measured since the start");
  say($("fresh-count"), whole(total(histogram)));
  $("freshness").dataset.count = total(readings.now.freshness);
  const drawn = ["p50", "p95"].map((name) => ({ name, values: readings.series(name) }));
  const top = lines($("fresh-lines"), drawn, POINTS, 80);
  say($("fresh-top"), readings.latest("p95") === null ? "" : `, to ${milliseconds(top)}`);
  columns($("fresh-columns"), histogram.counts, 80);
  const labels = ["1 ms", "20 ms", "500 ms", "> 5 s"].map((text) => element("span", {}, text));
  if (!$("fresh-bounds").childElementCount) $("fresh-bounds").replaceChildren(...labels);
}

function figures(readings) {
  const { now } = readings;
  const tail = readings.latency();
  say($("events-rate"), or(rate)(readings.latest("events")));
  say($("events-total"), or(whole)(now.log?.interactions));
  say($("requests-rate"), or(rate)(readings.latest("requests")));
  say($("slates"), whole(now.slates));
  say($("latency-p50"), bare(tail && quantile(tail, 0.5)));
  const tails = [0.95, 0.99].map((share) => `${100 * share} % ${inMs(tail && quantile(tail, share))}`);
  say($("latency-tail"), tail ? tails.join(" · ") : "no requests");
  say($("waiting"), or(whole)(now.log?.waiting));
  say($("replica-lag"), whole(now.lag_records));
  say($("quality"), or((share) => share.toFixed(3))(readings.latest("quality")));
  say($("quality-told"), qualityTold(now.quality));
  say($("letters-count"), or(whole)(now.log?.dead_letters));
  for (const name of ["events", "requests", "latency", "waiting", "quality", "letters"]) {
    lines($(`${name}-line`), [{ name, values: readings.series(name) }], POINTS);
  }
}

function qualityTold(quality) {
  const told = Object.entries(quality).filter(([, { judged }]) => judged);
  if (!told.length) return "nothing judged yet";
  return told.map(([name, one]) => `${name} ${one.recall_at_10.toFixed(3)} of ${whole(one.judged)}`).join(" · ");
}

function events(log) {
  const known = new Set([...$("events").children].map((entry) => entry.dataset.place));
  const shown = log.events.slice(0, SHOWN_EVENTS);
  $("events").replaceChildren(...shown.map((event) => eventLine(event, known.size > 0 && !known.has(event.place))));
  say($("events-told"), shown.length ? "The newest of the log, as they come." : "Nothing has come yet.");
}

function eventLine({ place, arrived_ms: at, type, user_id: user, item_id: item, title }, isNew) {
  return element(
    "li",
    { "data-place": place, class: isNew ? "is-new" : "" },
    element("time", { datetime: new Date(at).toISOString() }, clock(at)),
    element("span", {}, element("span", { class: "tag" }, type)),
    element("span", {}, title || item || NONE),
    element("a", { class: "who", href: `/ui#${encodeURIComponent(user)}` }, user || NONE),
  );
}

function letters(log) {
  const shown = log.letters.slice(0, SHOWN_LETTERS);
  $("letters-empty").hidden = shown.length > 0;
  $("letters").replaceChildren(...shown.map(letterLine));
  say($("letters-told"), shown.length ? `last ${clock(shown[0].failed_ms)}: ${shown[0].reason}` : "none seen");
}

function letterLine({ place, failed_ms: at, reason, detail, origin }) {
  const head = element("p", {}, element("time", { datetime: new Date(at).toISOString() }, clock(at)), " ");
  head.append(element("span", { class: "tag" }, reason), " ", element("span", { class: "small" }, origin));
  return element("li", { "data-place": place }, head, element("p", { class: "small" }, detail));
}

function routes(list) {
  $("routes").replaceChildren(...list.slice(0, SHOWN_ROUTES).map(routeLine));
}

function routeLine({ route, all, failed, perSecond, p50, p99 }) {
  const name = element("th", { scope: "row" }, route === "shed" ? "refused: overload" : route.replace(":path", ""));
  if (failed) name.append(" ", element("span", { class: "tag" }, counted(failed, "failure")));
  const cells = [whole(all), rate(perSecond), inMs(p50), inMs(p99)].map((text) => element("td", {}, text));
  return element("tr", { "data-route": route, "data-count": all }, name, ...cells);
}

function holds({ holds: held, models }) {
  const told = [...Object.entries(held).map(([what, count]) => [what, whole(count)]), ...Object.entries(models)];
  if (told.length === Object.keys(held).length) told.push(["ranker", "prior weights"]);
  const terms = told.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  $("holds").replaceChildren(...terms);
}
