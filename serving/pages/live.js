// The live page: asks the replica once a second while the page is in sight, and draws what changed.

import * as api from "./api.js";
import * as draw from "./live_drawing.js";
import { $, line } from "./dom.js";
import { attempt, guard } from "./door.js";
import { POINTS, Readings } from "./readings.js";

const EVERY_MS = 1000;

const readings = new Readings(POINTS);
let timer = null;

async function look() {
  const answer = await api.live();
  readings.add(answer);
  draw.all(readings);
}

/** Looks, and again a second after the last look began; a hidden page asks for nothing. */
async function turn() {
  clearTimeout(timer);
  if (document.hidden) return;
  const began = performance.now();
  const well = await attempt(look);
  clearTimeout(timer);
  if (well) timer = setTimeout(turn, Math.max(0, EVERY_MS - (performance.now() - began)));
  else if ($("key-form").hidden) timer = setTimeout(turn, EVERY_MS);
}

function seen() {
  if (document.hidden) return;
  readings.clear(); // nobody looked in between: a line across the gap would be made up
  turn();
}

$("curl").textContent = api.asCurl(api.LIVE);
guard(turn);
document.addEventListener("visibilitychange", seen);
line($("note"), "");
turn();
