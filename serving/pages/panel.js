// A panel: one slate, how it was wished for, and the request that brought it.

import * as api from "./api.js";
import * as draw from "./slate_drawing.js";
import { $ } from "./dom.js";

export class Panel {
  answer = null;
  #form;

  /** Fills a section with an empty panel; `changed` is called when somebody wishes for something else. */
  constructor(id, name, changed) {
    this.place = $(id);
    this.place.append($("panel").content.cloneNode(true));
    this.#form = this.#find(".wishes");
    this.#form.setAttribute("aria-label", `${name}: wishes`);
    this.#find(".curl").setAttribute("aria-label", `${name}: the command`);
    this.#find(".json").setAttribute("aria-label", `${name}: the answer`);
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", ({ target }) => this.#touch(target));
    this.#form.addEventListener("change", changed);
    this.#find(".defaults").addEventListener("click", () => this.#reset() || changed());
  }

  get isOpen() {
    return !this.place.hidden;
  }

  get ids() {
    return this.answer ? this.answer.items.map((item) => item.item_id) : [];
  }

  /** Wishes for an answer without some parts, as the menu offers it. */
  leaveOut(parts) {
    this.#form.without.value = parts;
  }

  async ask(userId, after) {
    const request = api.slateRequest(userId, this.#wishes(), after);
    return { request, answer: await api.ask(request) };
  }

  /** Shows a slate: `follows` one of the same user, beside the slate of `other`. Returns whether it differs. */
  show({ request, answer }, follows, other = null) {
    const before = follows && this.answer ? this.ids : null;
    const focused = this.#focused();
    this.answer = answer;
    draw.slate(this.place, answer, before, other && other.ids);
    this.#focusAgain(focused);
    this.#find(".curl").textContent = api.asCurl(request);
    this.#find(".json").textContent = JSON.stringify(answer, null, 2);
    return before?.join() !== this.ids.join();
  }

  busy(isBusy) {
    this.#find(".slate").setAttribute("aria-busy", isBusy);
  }

  /** What was wished for; what nobody touched is the server's own setting, and not in it. */
  #wishes() {
    const { without, diversity, explore } = this.#form;
    return {
      ...(without.value && { without: without.value.split(" ") }),
      ...(diversity.dataset.touched && { diversity: Number(diversity.value) }),
      ...(explore.dataset.touched && { explore: Number(explore.value) }),
    };
  }

  #touch(input) {
    if (input.type !== "range") return;
    input.dataset.touched = true;
    input.nextElementSibling.textContent = Number(input.value).toFixed(2);
    this.#find(".defaults").hidden = false;
  }

  #reset() {
    for (const input of this.#form.querySelectorAll("[type=range]")) {
      delete input.dataset.touched;
      input.value = 0;
      input.nextElementSibling.textContent = "default";
    }
    this.#find(".defaults").hidden = true;
    this.#form.diversity.focus();
  }

  /** Where the keyboard is in the slate, as position and action, so that a new slate need not lose it. */
  #focused() {
    const button = document.activeElement?.closest("button[data-action]");
    const entry = button?.closest(".slate > li");
    if (!entry || !this.place.contains(entry)) return null;
    return { at: [...entry.parentElement.children].indexOf(entry), action: button.dataset.action };
  }

  #focusAgain(focused) {
    if (!focused) return;
    const { children } = this.#find(".slate");
    const entry = children[Math.min(focused.at, children.length - 1)];
    entry?.querySelector(`[data-action=${focused.action}]`)?.focus({ preventScroll: true });
  }

  #find(selector) {
    return this.place.querySelector(selector);
  }
}
