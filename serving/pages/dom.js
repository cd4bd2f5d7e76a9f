// Makes elements and writes numbers. Knows nothing of either page. Other people's text goes in as text: never innerHTML.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
export const drawn = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Shows a line of text, or hides its place if there is none. */
export function line(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

/** Writes a text if it is another one, so that nothing is drawn, or read aloud, twice. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

const WHOLE = new Intl.NumberFormat("en");
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const whole = (number) => WHOLE.format(Math.round(number));
export const moment = (ms) => LOCAL.format(ms);
export const clock = (ms) => CLOCK.format(ms);
export const counted = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
export const percent = (share) => `${Math.round(share * 100)} %`;
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : whole(ms)} ms`;
export const rate = (perSecond) => (perSecond < 100 ? perSecond.toFixed(1) : whole(perSecond));
