// The last minute of /v1/live, one reading a second, and what they mean. Pure but for what it keeps.

import { between, merged, quantile, total } from "./histogram.js";

export const POINTS = 61;

const MINUTE_MS = 60_000;
const SMOOTH_MS = 5_000;
const SILENCE_MS = 5_000;
const SHED = "shed"; // refused at the door
const OWN = "/v1/live"; // this page's own requests are not what it is about

/** Requests to the API: neither probes, nor pages, nor this page's own looks, nor what was refused at the door. */
const isAsked = ({ route }) => route.startsWith("/v1/") && route !== OWN;

export class Readings {
  others = false; // whether another replica has answered as well, behind a load balancer
  #kept = [];
  #points;
  #series = {};

  constructor(points) {
    this.#points = points;
  }

  clear() {
    this.#kept = [];
    this.#series = {};
  }

  /** Takes an answer of the replica that it follows; another's only after long silence of that one, to begin anew. */
  add(answer) {
    if (this.#kept.length && answer.replica !== this.now.replica) {
      this.others = true;
      if (answer.now_ms - this.now.now_ms < SILENCE_MS) return;
      this.clear();
    }
    this.#kept = [...this.#kept, answer].slice(-this.#points);
    for (const [name, value] of Object.entries(this.#values())) {
      this.#series[name] = [...(this.#series[name] ?? []), value].slice(-this.#points);
    }
  }

  get now() {
    return this.#kept.at(-1);
  }

  /** The values of a figure, the oldest first; null where there was none. */
  series(name) {
    return this.#series[name] ?? [];
  }

  /** What a figure is now. */
  latest(name) {
    return this.series(name).at(-1) ?? null;
  }

  /** Freshness over the last minute; since the server's start if nothing came in it. */
  freshness(overMs = MINUTE_MS) {
    const lately = between(this.#before(overMs)?.freshness, this.now.freshness);
    const isLate = this.#before(overMs) !== this.now && total(lately) > 0;
    return { histogram: isLate ? lately : this.now.freshness, isLate };
  }

  /** The requests of each route that is asked for, the most asked for first. */
  routes() {
    const before = this.#before(MINUTE_MS);
    const told = this.now.requests.filter((one) => isAsked(one) || one.route === SHED);
    const names = [...new Set(told.map(({ route }) => route))];
    return names.map((route) => this.#route(route, before)).sort((one, other) => other.all - one.all);
  }

  #route(route, before) {
    const own = (answer) => merged(answer.requests.filter((one) => one.route === route).map((one) => one.times));
    const after = own(this.now);
    const lately = between(own(before), after);
    const seconds = (this.now.now_ms - before.now_ms) / 1000;
    const failed = this.now.requests.filter((one) => one.route === route && one.status >= "500");
    const times = seconds && total(lately) ? lately : after;
    return {
      route,
      all: total(after),
      failed: failed.reduce((count, one) => count + total(one.times), 0),
      perSecond: seconds ? total(lately) / seconds : 0,
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
    };
  }

  /** Latency of all that is asked for over the last so many milliseconds; null for nothing. */
  latency(overMs = MINUTE_MS) {
    const before = this.#before(overMs);
    const after = asked(this.now);
    if (before === this.now || !after) return null;
    const lately = between(asked(before), after);
    return total(lately) ? lately : null;
  }

  /** The oldest reading that is not older than so many milliseconds. */
  #before(ms) {
    return this.#kept.find((one) => one.now_ms >= this.now.now_ms - ms);
  }

  #values() {
    const { histogram, isLate } = this.freshness(2 * SMOOTH_MS);
    const latency = this.latency(2 * SMOOTH_MS);
    const log = this.now.log;
    return {
      p50: isLate ? quantile(histogram, 0.5) : null,
      p95: isLate ? quantile(histogram, 0.95) : null,
      latency: latency && quantile(latency, 0.5),
      requests: this.#rate((one) => total(asked(one)), (one) => one.now_ms),
      events: log && this.#rate((one) => one.log?.interactions, (one) => one.log?.read_ms),
      waiting: log && log.waiting,
      letters: log && log.dead_letters,
      quality: recall(this.now.quality),
    };
  }

  /** How fast a count goes up, a second, over the last few; null before there are two readings of it. */
  #rate(count, at) {
    const known = this.#kept.filter((one) => one.now_ms >= this.now.now_ms - SMOOTH_MS && at(one) !== undefined);
    const [first, last] = [known[0], known.at(-1)];
    if (!first || at(first) === at(last)) return null;
    return (1000 * Math.max(0, count(last) - count(first))) / (at(last) - at(first));
  }
}

const asked = (answer) => merged(answer.requests.filter(isAsked).map(({ times }) => times));

/** The share of judged choices that stood in the first ten, over both kinds of users; null before any. */
export function recall(quality) {
  const slices = Object.values(quality).filter(({ judged }) => judged);
  const judged = slices.reduce((count, one) => count + one.judged, 0);
  return judged ? slices.reduce((found, one) => found + one.recall_at_10 * one.judged, 0) / judged : null;
}
