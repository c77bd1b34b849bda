// The rules of the visit as cards: which steps are filled, what comes next, and until when.

import { byId, element } from "./dom.js";

/** Until when, in words. */
function remaining(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  return `${Math.round(seconds / 60)} min`;
}

export class RuleCards {
  constructor() {
    /** By package and rule. */
    this.cards = new Map();
    this.outcomes = new Map();
    setInterval(() => this.tick(), 500);
  }

  /** A new visit: nothing has fired. */
  open() {
    this.outcomes.clear();
    for (const card of this.cards.values()) this.draw(card);
  }

  /** What the server says of all rules. */
  show(rules) {
    const keys = new Set(rules.map((rule) => `${rule.package} ${rule.rule}`));
    for (const [key, card] of this.cards) {
      if (keys.has(key)) continue;
      card.item.remove();
      this.cards.delete(key);
    }
    for (const rule of rules) {
      const key = `${rule.package} ${rule.rule}`;
      const card = this.cards.get(key) ?? this.make(key);
      card.rule = rule;
      this.draw(card);
    }
  }

  /** A rule of this visit came to its end. */
  fired({ package: of, rule, op, suppressed }) {
    const key = `${of} ${rule}`;
    const isHeld = suppressed !== null && suppressed !== undefined;
    this.outcomes.set(key, op === "retract" ? "taken back" : isHeld ? "held back" : "fired");
    const card = this.cards.get(key);
    if (card) this.draw(card);
  }

  make(key) {
    const card = {
      key,
      item: element("li", "rule"),
      name: element("strong", ""),
      state: element("span", "state"),
      pips: element("span", "pips"),
      next: element("span", "next"),
      about: element("p", "about"),
      filled: 0,
    };
    card.pips.setAttribute("aria-hidden", "true");
    card.item.append(
      element("p", "head", card.name, card.state),
      card.about,
      element("p", "track", card.pips, card.next),
    );
    this.cards.set(key, card);
    byId("rules").append(card.item);
    return card;
  }

  draw(card) {
    const { rule, key } = card;
    if (!rule) return;
    const outcome = this.outcomes.get(key);
    // `with runs=3` is three steps.
    const steps = rule.steps.flatMap((step) => Array(step.runs).fill(step));
    const positive = steps.filter((step) => !step.missing).length;
    const isDone = outcome !== undefined && rule.fire === "once";
    const filled = isDone ? positive : rule.events.length;
    card.name.textContent = rule.rule;
    card.about.textContent = rule.description;
    card.item.dataset.state = isDone || (outcome && filled === 0) ? outcome : filled > 0 ? "begun" : "idle";
    let nth = 0;
    const pips = steps.map((step) => {
      if (step.missing) return element("span", isDone ? "pip absent full" : "pip absent");
      nth += 1;
      const isNew = nth <= filled && nth > card.filled;
      return element("span", `pip${nth <= filled ? " full" : ""}${isNew ? " new" : ""}`);
    });
    if (filled !== card.filled || card.pips.children.length !== pips.length || isDone) {
      card.pips.replaceChildren(...pips);
    }
    card.filled = filled;
    card.item.dataset.filled = String(filled);
    card.state.textContent =
      outcome && (isDone || filled === 0) ? outcome : `${filled} of ${positive}`;
    card.until = isDone ? null : rule.until_ms;
    card.after = this.after(steps, filled, isDone);
    this.drawNext(card);
  }

  /** The step that a rule waits for. */
  after(steps, filled, isDone) {
    if (isDone) return null;
    let nth = 0;
    for (const step of steps) {
      if (step.missing) continue;
      nth += 1;
      if (nth > filled) return { text: step.text, isAbsent: false };
    }
    const absent = steps.findLast((step) => step.missing);
    return absent ? { text: absent.text, isAbsent: true } : null;
  }

  drawNext({ after, until, next }) {
    let text = "";
    if (after?.isAbsent) text = `fires unless ${after.text}`;
    else if (after) text = `next: ${after.text}`;
    const left = until === null || until === undefined ? "" : remaining(until - Date.now());
    if (left) text += after?.isAbsent ? ` within ${left}` : `, within ${left}`;
    if (next.textContent !== text) next.textContent = text;
  }

  tick() {
    for (const card of this.cards.values()) {
      if (card.until) this.drawNext(card);
    }
  }
}
