// The demo page: sends events as a site's page would, and shows what the server makes of them.
//
// Out: POST /v1/events with the envelope {sentAt, visitSecret, events}. The visit's secret is 256
// random bits of this tab; the visitID is the first 128 bits of its SHA-256, so that only who knows
// the secret can speak for the visit.
//
// In: GET /v1/live, server-sent events, each a whole snapshot:
//   {version, visits_open, minutes: [{minute_ms, events, actions}], names: [{name, count}],
//    rules: [{package, rule, count}], events: [{seq, name, visit, timestamp_ms, url, fate}],
//    actions: [{action_id, op, package, rule, kind, visit, timestamp_ms, events: [eventID],
//               suppressed, data}]}
//
// Everything that came from a server or a visitor is put into the page as text, never as markup.
"use strict";

const EVENTS_SHOWN = 60;
const ACTIONS_SHOWN = 30;
const SENT_KEPT = 500;
const RETRY_MS = 3000;

const byId = (id) => document.getElementById(id);

/** An element with a class, a text, and children. */
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const randomHex = (bytes) => hex(crypto.getRandomValues(new Uint8Array(bytes)));

/** A stored text, or a new one that is stored where the browser lets us. */
function kept(storage, key, make) {
  try {
    const there = window[storage].getItem(key);
    if (there) return there;
    const made = make();
    window[storage].setItem(key, made);
    return made;
  } catch {
    return make();
  }
}

function forget(storage, key) {
  try {
    window[storage].removeItem(key);
  } catch {
    // Nothing was stored either.
  }
}

// ---- the visit

const visit = { secret: "", id: "", user: "", sequence: 0, cart: [] };
const visitor = kept("localStorage", "beckon-visitor", () => randomHex(16));
const pageId = randomHex(16);
/** What this tab sent, by eventID: a fired rule names the events that it matched. */
const sent = new Map();

async function openVisit() {
  visit.secret = kept("sessionStorage", "beckon-visit-secret", () => randomHex(32));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(visit.secret));
  visit.id = hex(new Uint8Array(digest).subarray(0, 16)).toUpperCase();
  visit.user = "";
  visit.cart = [];
  for (const tag of document.querySelectorAll(".tag.own")) {
    tag.className = "tag";
    tag.textContent = "you, before";
  }
  showVisit();
}

function showVisit() {
  byId("visit").textContent = visit.id.slice(0, 8);
  byId("visit").title = visit.id;
  byId("who").textContent = visit.user ? ", signed in as Ada" : ", anonymous";
  byId("sign-in").textContent = visit.user ? "Sign out" : "Sign in as Ada";
  const total = visit.cart.reduce((sum, price) => sum + price, 0);
  const things = visit.cart.length === 1 ? "1 thing" : `${visit.cart.length} things`;
  byId("cart").textContent =
    visit.cart.length === 0 ? "The cart is empty." : `${things} in the cart, ${total} in all.`;
}

// ---- events out

/** The visit is known, and what was sent before has been answered. */
let ready = Promise.resolve();

/**
 * Sends one event; `what` is what a person would call it. One at a time: two requests under way may
 * overtake each other, and the event that comes second would be late.
 */
function send(what, path, fields) {
  ready = ready.then(() => sendNow(what, path, fields));
  return ready;
}

async function sendNow(what, path, fields) {
  visit.sequence += 1;
  const event = {
    eventID: randomHex(16).toUpperCase(),
    visitID: visit.id,
    globalVisitID: visitor,
    pageID: pageId,
    timestamp: Date.now(),
    seq: visit.sequence,
    url: new URL(path, location.href).href,
    languageCode: navigator.language,
    ...fields,
  };
  sent.set(event.eventID, what);
  if (sent.size > SENT_KEPT) sent.delete(sent.keys().next().value);
  try {
    const response = await fetch("/v1/events", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ sentAt: Date.now(), visitSecret: visit.secret, events: [event] }),
    });
    showAnswer(what, response.status, await response.json());
  } catch (error) {
    showNote("bad", `${what}: the server cannot be reached (${error.message}). Is it running?`);
  }
}

function showAnswer(what, status, answer) {
  if (status !== 200) {
    const { message = `the answer was ${status}`, help = "" } = answer.error ?? {};
    showNote("bad", `${what}: ${message}. ${help}`);
    return;
  }
  const result = answer.results?.[0] ?? {};
  if (result.status === "rejected") {
    const code = result.reason ?? result.code;
    showNote("bad", `${what}: rejected (${code} at ${result.path}). ${result.message}`);
  } else {
    const said = result.status === "duplicate" ? "was there already" : "is on disk";
    showNote("ok", `${what}: ${said}.`);
  }
}

function showNote(state, text) {
  const note = byId("note");
  note.hidden = false;
  note.dataset.state = state;
  note.textContent = text;
}

const pageEntered = (what, path, category) =>
  send(what, path, { eventName: "PageEntered", category, data: { title: what } });

function beginVisit() {
  ready = ready.then(openVisit);
  send("Visit started", "/", { eventName: "VisitStarted" });
  pageEntered("Home", "/", "home");
}

function addToCart(name, sku, price) {
  visit.cart.push(price);
  showVisit();
  send(`Cart: ${name}`, "/cart", { eventName: "AddToCart", data: { sku, name, price } });
}

function wire() {
  const click = (id, act) => byId(id).addEventListener("click", act);
  click("view-pricing", () => pageEntered("Pricing", "/pricing", "pricing"));
  click("add-to-cart", () => addToCart("the reading lamp", "L-120", 120));
  click("add-bulb", () => addToCart("a bulb", "B-4", 4));
  click("check-out", () => {
    const price = visit.cart.reduce((sum, one) => sum + one, 0);
    visit.cart = [];
    showVisit();
    send("Checkout", "/checkout", { eventName: "Checkout", data: { price } });
  });
  click("sign-in", () => {
    visit.user = visit.user ? "" : "ada";
    showVisit();
    if (visit.user) {
      send("Sign in", "/account", { eventName: "SignIn", data: { userID: visit.user } });
    } else {
      send("Sign out", "/account", { eventName: "SignOut", data: { userID: "ada" } });
    }
  });
  click("new-visit", async () => {
    await send("Visit ended", "/", { eventName: "VisitEnded" });
    forget("sessionStorage", "beckon-visit-secret");
    byId("invitation").replaceChildren();
    for (const recipe of document.querySelectorAll(".recipes .done")) {
      recipe.classList.remove("done");
    }
    beginVisit();
  });
  click("send-broken", () => send("A broken event", "/", { eventName: "", data: {} }));
  byId("search-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const query = byId("query").value.trim();
    const path = `/search?q=${encodeURIComponent(query)}`;
    send(`Search: ${query}`, path, { eventName: "Search", data: { query } });
  });
}

// ---- the live view

const shownEvents = new Map();
const shownActions = new Map();

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const number = new Intl.NumberFormat();

function timeElement(ms) {
  const time = element("time", "", clock.format(ms));
  time.dateTime = new Date(ms).toISOString();
  return time;
}

const visitTag = (id) =>
  id === visit.id ? element("span", "tag own", "you") : element("span", "tag", id.slice(0, 8));

function pathOf(url) {
  try {
    const { pathname, search } = new URL(url);
    return pathname + search;
  } catch {
    return url ?? "";
  }
}

const where = ({ url, categories }) => [
  pathOf(url),
  ...categories.flatMap((category) => [" ", element("span", "tag", category)]),
];

function eventItem(event) {
  const item = element(
    "li",
    "",
    timeElement(event.timestamp_ms),
    element("span", "what", event.name),
    element("span", "where", ...where(event)),
    visitTag(event.visit),
  );
  item.title = event.fate && event.fate !== "matched" ? `not matched: ${event.fate}` : event.name;
  return item;
}

function actionItem(action) {
  const ids = Array.isArray(action.events) ? action.events : [];
  const matched = Array.isArray(action.events) ? ids.length : action.events;
  const data = action.data ?? {};
  const acts = action.suppressed ? `held back: ${action.suppressed}` : action.kind;
  const corrections = { retract: "taken back", correct: "corrected" };
  const does = corrections[action.op] ?? acts;
  const item = element(
    "li",
    action.suppressed || action.kind === "none" || action.op === "retract" ? "idle" : "",
    element(
      "div",
      "head",
      element("span", "rule", action.rule),
      element("span", "tag", does),
      visitTag(action.visit),
      timeElement(action.timestamp_ms),
    ),
  );
  if (data.greeting) item.append(element("p", "greeting", `\u201c${data.greeting}\u201d`));
  if (action.kind === "none") {
    item.append(element("p", "greeting", "Does nothing, on purpose; it is recorded."));
  }
  if (data.why) item.append(element("p", "why", `Why: ${data.why}`));
  const count = matched === 1 ? "1 event" : `${matched} events`;
  item.append(element("p", "small", `Matched ${count}. Package ${action.package}.`));
  const known = ids.map((id) => sent.get(id)).filter(Boolean);
  if (known.length > 0) {
    const steps = known.map((what) => element("li", "", what));
    item.append(element("ol", "steps", ...steps));
  }
  return item;
}

/** Puts what is new on top, and takes what is over the bound off the end. */
function update(list, shown, rows, { key, make, most }) {
  const isFirst = shown.size === 0;
  const fresh = [];
  for (const row of rows.slice(-most)) {
    const id = key(row);
    if (shown.has(id)) continue;
    const item = make(row);
    if (!isFirst) item.classList.add("fresh");
    shown.set(id, item);
    list.prepend(item);
    fresh.push(row);
  }
  for (const [id, item] of shown) {
    if (shown.size <= most) break;
    item.remove();
    shown.delete(id);
  }
  return fresh;
}

function invite(actions) {
  for (const action of actions) {
    if (action.visit !== visit.id || action.op !== "assert" || action.suppressed) continue;
    const recipe = document.querySelector(`.recipes [data-rule="${CSS.escape(action.rule)}"]`);
    recipe?.classList.add("done");
    const greeting = action.data?.greeting;
    if (!greeting) continue;
    byId("invitation").replaceChildren(
      element("strong", "", `The site says (rule ${action.rule})`),
      greeting,
    );
  }
}

function drawBars(list, rows) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  const sorted = [...rows].sort((a, b) => b.count - a.count).slice(0, 8);
  const items = sorted.map(({ name, count }) => {
    const bar = element("progress", "");
    bar.max = most;
    bar.value = count;
    bar.setAttribute("aria-hidden", "true");
    return element(
      "li",
      "",
      element("span", "name", name),
      element("span", "count", number.format(count)),
      bar,
    );
  });
  list.replaceChildren(...(items.length > 0 ? items : [element("li", "empty", "Nothing yet")]));
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawChart(minutes) {
  const [width, height, ground] = [600, 90, 2];
  const top = Math.max(1, ...minutes.map((minute) => minute.events));
  const step = width / Math.max(1, minutes.length);
  const bars = [svg("rect", { class: "ground", x: 0, y: height - ground, width, height: ground })];
  const bar = (className, index, share) => {
    const tall = Math.max(share > 0 ? 2 : 0, share * (height - ground - 6));
    const at = { x: index * step + 1, y: height - ground - tall };
    return svg("rect", { class: className, ...at, width: step - 2, height: tall });
  };
  minutes.forEach((minute, index) => {
    bars.push(bar("events-bar", index, minute.events / top));
    bars.push(bar("actions-bar", index, Math.min(minute.actions, top) / top));
  });
  const chart = byId("chart");
  chart.replaceChildren(...bars);
  const events = minutes.reduce((sum, minute) => sum + minute.events, 0);
  const actions = minutes.reduce((sum, minute) => sum + minute.actions, 0);
  chart.setAttribute(
    "aria-label",
    `${events} events and ${actions} fired rules in the last hour, at most ${top} events a minute`,
  );
  byId("chart-top").textContent = number.format(top);
  byId("event-count").textContent = number.format(events);
  byId("action-count").textContent = number.format(actions);
}

function show(snapshot) {
  byId("open-visits").textContent = number.format(snapshot.visits_open);
  update(byId("events"), shownEvents, snapshot.events, {
    key: (event) => event.seq + event.name,
    make: eventItem,
    most: EVENTS_SHOWN,
  });
  const fired = update(byId("actions"), shownActions, snapshot.actions, {
    key: (action) => `${action.action_id} ${action.op} ${action.suppressed}`,
    make: actionItem,
    most: ACTIONS_SHOWN,
  });
  invite(fired);
  byId("no-events").hidden = shownEvents.size > 0;
  byId("no-actions").hidden = shownActions.size > 0;
  drawChart(snapshot.minutes);
  drawBars(byId("names"), snapshot.names);
  const categories = snapshot.categories.map(({ category, count }) => ({ name: category, count }));
  drawBars(byId("categories"), categories);
  drawBars(byId("rules"), snapshot.rules.map(({ rule, count }) => ({ name: rule, count })));
}

function showStatus(state, text) {
  const status = byId("status");
  if (status.dataset.state === state && status.textContent === text) return;
  status.dataset.state = state;
  status.textContent = text;
}

function listen() {
  const source = new EventSource("/v1/live");
  source.onopen = () => showStatus("live", "Live");
  source.onmessage = (message) => {
    showStatus("live", "Live");
    show(JSON.parse(message.data));
  };
  source.onerror = () => {
    showStatus("lost", "Connection lost, trying again");
    // After an answer that is no stream (a server over its limit) the browser gives up; we do not.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  };
}

wire();
listen();
// A reload goes on with its visit; only a new one begins.
const isNew = kept("sessionStorage", "beckon-visit-secret", () => "") === "";
if (isNew) {
  beginVisit();
} else {
  ready = openVisit();
  pageEntered("Home", "/", "home");
}
