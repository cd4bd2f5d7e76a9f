// Who is looked at: the address of the page says it, so that the way back works and a link can be sent.

import * as api from "./api.js";
import { userChoices } from "./history_drawing.js";

const GUEST = "guest-";

export function userInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1); // typed by hand, with a stray %
  }
}

/** Goes to a user; the change of the address loads them. Returns false if it is the one that is looked at. */
export function choose(userId) {
  if (userId === userInAddress()) return false;
  location.hash = encodeURIComponent(userId);
  return true;
}

export async function listUsers(prefix) {
  const ids = await api.users(prefix);
  userChoices(ids);
  return ids;
}

export async function chooseFirst() {
  const [first] = await listUsers("");
  choose(first ?? newGuest());
}

export async function chooseRandom() {
  const ids = await listUsers("");
  choose(ids.length ? ids[Math.floor(Math.random() * ids.length)] : newGuest());
}

export function newGuest() {
  const letters = [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => (byte % 36).toString(36));
  return `${GUEST}${letters.join("")}`;
}

export const isGuest = (userId) => userId.startsWith(GUEST);
