// What Beckon sees, live: events with their answers, rules with the steps that they have, actions with
// what became of them.
//
// In: `GET /v1/live`, server-sent events, each a whole snapshot; and `GET /demo/visits/{visitID}`, how
// far the rules have come in this visit, asked again when there is something new.

import { byId, element, putInOrder } from "./dom.js";
import { RuleCards } from "./rules.js";

const EVENTS_SHOWN = 60;
const ACTIONS_SHOWN = 30;
const SENT_KEPT = 300;
const RETRY_MS = 2_000;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const number = new Intl.NumberFormat();

const HELD_BACK = {
  disabled: "the rule is disabled",
  holdout: "the visitor is in the control group",
  once: "it acted for this visitor before",
  paused: "its package is paused",
  schedule: "it is outside of opening hours",
  cooldown: "it acted for this visitor not long ago",
  priority: "something more important went first",
  limit: "this visit has had its invitation",
  visit_ended: "the visit is over",
  backfilled: "it came to its end before the rule was there",
};
const DOES = {
  invite: "invites", content: "shows an offer", notify: "tells the page", webhook: "calls out",
  none: "does nothing, on purpose",
};

const pathOf = (url) => {
  try {
    const { pathname, search } = new URL(url);
    return decodeURIComponent(pathname + search);
  } catch {
    return url ?? "";
  }
};

export class Inspector {
  constructor() {
    /** Of this tab's events, by id: what a person calls them, and when they were clicked. */
    this.mine = new Map();
    /** Rows by event id, and by action. */
    this.eventRows = new Map();
    this.actionRows = new Map();
    /** When messages were painted, by id. */
    this.paintedAt = new Map();
    this.cards = new RuleCards();
    this.isAsking = false;
    this.listen();
  }

  open(visit) {
    this.visit = visit;
    for (const own of document.querySelectorAll(".events .own, .actions .own")) {
      own.classList.remove("own");
    }
    this.cards.open();
    this.ask();
  }

  // ---- events

  sent(event, what, clickedAt) {
    this.mine.set(event.eventID, { what, clickedAt });
    if (this.mine.size > SENT_KEPT) this.mine.delete(this.mine.keys().next().value);
    const categories = event.category ? [event.category] : [];
    this.eventRow(event.eventID, {
      name: event.eventName || "(no name)",
      url: event.url,
      categories,
      timestamp_ms: event.timestamp,
      visit: event.visitID,
    });
  }

  answered(event, { status, ms, reason }) {
    const { eventID, eventName, url, timestamp, visitID } = event;
    const shown = { name: eventName || "(no name)", url, timestamp_ms: timestamp, visit: visitID };
    const badge = this.eventRow(eventID, { categories: [], ...shown }).querySelector(".badge");
    const texts = {
      waiting: "waiting",
      ok: `on disk, ${Math.max(1, Math.round(ms))} ms`,
      duplicate: "was there already",
      rejected: `refused: ${reason}`,
      dropped: `not taken: ${reason}`,
    };
    badge.textContent = texts[status] ?? status;
    badge.dataset.status = status;
    if (status === "ok" || status === "duplicate") this.ask();
  }

  /** The row of an event; made where there is none. */
  eventRow(id, { name, url, categories, timestamp_ms: at, visit }) {
    const there = this.eventRows.get(id);
    if (there) return there;
    const time = element("time", "", clock.format(at));
    time.dateTime = new Date(at).toISOString();
    const tags = categories.map((category) => element("span", "tag", category));
    const badge = element("span", "badge", "seen");
    const row = element(
      "li",
      visit === this.visit?.id ? "own" : "",
      time,
      element("span", "what", name),
      element("span", "where", element("span", "path", pathOf(url)), ...tags),
      badge,
    );
    byId("no-events").hidden = true;
    putInOrder(byId("events"), this.eventRows, row, { key: id, at, most: EVENTS_SHOWN });
    return row;
  }

  // ---- rules

  /** Asks how far the rules have come; once more when something came in between. */
  async ask() {
    if (this.isAsking) {
      this.isAskedAgain = true;
      return;
    }
    this.isAsking = true;
    const { id } = this.visit;
    try {
      const response = await fetch(`/demo/visits/${id}`, { cache: "no-store" });
      const progress = await response.json();
      if (response.ok && id === this.visit.id) {
        byId("not-whole").hidden = progress.whole;
        this.cards.show(progress.rules);
      }
    } catch {
      // The stream says when the server is there again, and asks.
    }
    this.isAsking = false;
    if (this.isAskedAgain) {
      this.isAskedAgain = false;
      this.ask();
    }
  }

  // ---- actions

  action(action) {
    const key = `${action.action_id} ${action.op} ${action.suppressed}`;
    if (this.actionRows.has(key)) return;
    const isOwn = action.visit === this.visit?.id;
    const row = this.actionRow(action, isOwn);
    byId("no-actions").hidden = true;
    const at = action.timestamp_ms;
    putInOrder(byId("actions"), this.actionRows, row, { key, at, most: ACTIONS_SHOWN });
    if (isOwn) this.cards.fired(action);
    this.tellPainted(action.action_id);
  }

  actionRow({ action_id: id, op, rule, kind, events, suppressed, data, timestamp_ms: at }, isOwn) {
    const isHeld = suppressed !== null && suppressed !== undefined;
    const corrections = { retract: "taken back", correct: "corrected" };
    const does = corrections[op] ?? (isHeld ? "held back" : (DOES[kind] ?? kind));
    const reason = isHeld ? (HELD_BACK[suppressed] ?? suppressed.replaceAll("_", " ")) : "";
    const time = element("time", "", clock.format(at));
    time.dateTime = new Date(at).toISOString();
    const steps = events.map((event) => this.mine.get(event)?.what).filter(Boolean);
    const row = element(
      "li",
      isOwn ? "own" : "",
      element("p", "head", element("strong", "", rule), element("span", "does", does), time),
      isHeld ? element("p", "reason", `Because ${reason}.`) : null,
      data?.greeting && !isHeld ? element("p", "greeting", `\u201c${data.greeting}\u201d`) : null,
      data?.why ? element("p", "why", data.why) : null,
      steps.length > 0
        ? element("ol", "steps", ...steps.map((step) => element("li", "", step)))
        : null,
      element("p", "painted"),
    );
    row.dataset.action = id;
    row.dataset.last = events.at(-1) ?? "";
    row.dataset.kind = isHeld || op === "retract" ? "held" : kind;
    return row;
  }

  painted({ id }, at) {
    this.paintedAt.set(id, at);
    this.tellPainted(id);
  }

  /** How long it took from the click to the painted message. */
  tellPainted(id) {
    const at = this.paintedAt.get(id);
    const rows = [...byId("actions").children];
    const row = rows.find((one) => one.dataset.action === id && one.dataset.kind !== "held");
    if (at === undefined || !row) return;
    const clicked = this.mine.get(row.dataset.last)?.clickedAt;
    const took = clicked === undefined ? "" : ` ${Math.round(at - clicked)} ms after the click`;
    row.querySelector(".painted").textContent = `Painted in the shop${took}.`;
  }

  // ---- the live view

  listen() {
    const source = new EventSource("/v1/live");
    source.onmessage = (message) => this.show(JSON.parse(message.data));
    source.onerror = () => {
      // After an answer that is no stream (a server over its limit) the browser gives up; we do not.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.listen(), RETRY_MS);
    };
  }

  show(snapshot) {
    const sum = (of) => number.format(snapshot.minutes.reduce((all, one) => all + one[of], 0));
    byId("open-visits").textContent = number.format(snapshot.visits_open);
    byId("event-count").textContent = sum("events");
    byId("action-count").textContent = sum("actions");
    for (const event of snapshot.events.slice(-EVENTS_SHOWN)) {
      const row = this.eventRow(event.event_id, event);
      row.dataset.fate = event.fate;
      if (event.fate !== "matched") row.title = `The rules: ${event.fate.replaceAll("_", " ")}.`;
    }
    for (const action of snapshot.actions.slice(-ACTIONS_SHOWN)) this.action(action);
    this.ask();
  }
}
