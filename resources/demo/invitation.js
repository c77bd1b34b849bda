// What rules say to the visitor, painted into the shop. A message comes at least once; by its id it is
// painted once, and acknowledged when it has been seen. What was not closed is there again after a
// reload.

import { afterPaint, button, byId, element, tab } from "./dom.js";
import { acknowledge } from "./messages.js";

/** Messages whose ids are remembered, the latest. */
const KNOWN_MAX = 100;

export class Invitations {
  /** `onPainted(message, at)` once for each; `onAnswer(message, isAccepted)` for invitations. */
  constructor({ onPainted, onAnswer }) {
    Object.assign(this, { onPainted, onAnswer });
  }

  /** Begins with what an earlier page of the visit left. */
  open(visit) {
    this.visit = visit;
    this.known = new Map(tab.read("messages", []));
    byId("messages").replaceChildren();
    for (const entry of this.known.values()) {
      if (entry.isOpen) this.paint(entry);
    }
    this.catchUp();
  }

  /** Takes what the server said. */
  said(message) {
    if (message.type === "withdrawn") return this.withdraw(message.id);
    const known = this.known.get(message.id);
    if (known) {
      // Said again: the server did not hear that it was seen.
      known.isHeard = false;
      return known.isPainted ? this.hear(known) : undefined;
    }
    const entry = { message, isOpen: true, isPainted: false, isHeard: false };
    this.known.set(message.id, entry);
    while (this.known.size > KNOWN_MAX) this.known.delete(this.known.keys().next().value);
    this.keep();
    return this.paint(entry);
  }

  /** Tells the server what it did not hear yet. */
  catchUp() {
    for (const entry of this.known.values()) {
      if (entry.isPainted && !entry.isHeard) this.hear(entry);
    }
  }

  async paint(entry) {
    const { message } = entry;
    const card = message.type === "invite" ? this.dialog(entry) : this.strip(entry);
    card.dataset.message = message.id;
    byId("messages").append(card);
    const at = await afterPaint();
    if (entry.isPainted) return;
    entry.isPainted = true;
    this.keep();
    this.onPainted(message, at);
    await this.hear(entry);
  }

  async hear(entry) {
    entry.isHeard = await acknowledge(this.visit, entry.message.id);
    this.keep();
  }

  withdraw(id) {
    const entry = this.known.get(id);
    if (entry?.isOpen) this.close(entry);
  }

  close(entry) {
    entry.isOpen = false;
    this.keep();
    for (const card of byId("messages").children) {
      if (card.dataset.message === entry.message.id) card.remove();
    }
  }

  keep() {
    tab.write("messages", [...this.known]);
  }

  /** An invitation: a dialog beside the page that takes no focus from who is typing. */
  dialog(entry) {
    const { id, data } = entry.message;
    const card = element("section", "invitation");
    card.setAttribute("role", "dialog");
    const title = element("h3", "", "Maya from Lumen");
    const text = element("p", "greeting", data?.greeting ?? "May we help?");
    [title.id, text.id] = [`title-${id}`, `text-${id}`];
    card.setAttribute("aria-labelledby", title.id);
    card.setAttribute("aria-describedby", text.id);
    const face = element("span", "face", "M");
    face.setAttribute("aria-hidden", "true");
    const decline = () => {
      this.close(entry);
      this.onAnswer(entry.message, false);
    };
    const accept = () => {
      this.onAnswer(entry.message, true);
      text.textContent = "Lovely! On your own site the chat opens here.";
      const close = button("plain", "Close", () => this.close(entry));
      answers.replaceChildren(close);
      close.focus();
    };
    const answers = element(
      "div",
      "answers",
      button("primary", "Chat with Maya", accept),
      button("plain", "Not now", decline),
    );
    card.append(face, element("div", "", title, text, answers));
    card.addEventListener("keydown", (pressed) => {
      if (pressed.key === "Escape") decline();
    });
    return card;
  }

  /** An offer or a notice: a strip with a way to close it. */
  strip(entry) {
    const card = element("section", `strip ${entry.message.type}`);
    const close = button("plain", "\u00d7", () => this.close(entry));
    close.setAttribute("aria-label", "Close this message");
    card.append(element("p", "", entry.message.data?.greeting ?? ""), close);
    return card;
  }
}
