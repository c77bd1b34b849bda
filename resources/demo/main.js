// The demo page: a shop whose visitor sends events as a site's page would and listens to what rules
// say; and beside it what the server makes of it.

import { byId } from "./dom.js";
import { Inspector } from "./inspector.js";
import { Invitations } from "./invitation.js";
import { listen } from "./messages.js";
import { Outbox } from "./outbox.js";
import { Shop } from "./shop.js";
import { forgetVisit, newId, openVisit } from "./visit.js";

// First of all, so that no click finds the shop without a visit.
let visit = await openVisit();
let sequence = 0;
let listening = new AbortController();

const inspector = new Inspector();
const outbox = new Outbox((event, answer) => inspector.answered(event, answer));
const shop = new Shop(send);
const invitations = new Invitations({
  onPainted(message, at) {
    inspector.painted(message, at);
    document.dispatchEvent(new CustomEvent("beckon:painted", { detail: { id: message.id, at } }));
  },
  onAnswer(message, isAccepted) {
    const eventName = isAccepted ? "InvitationAccepted" : "InvitationDeclined";
    const what = isAccepted ? "Accepted the invitation" : "Declined the invitation";
    send({ eventName, path: "/", data: { message: message.id } }, what);
  },
});

/** Fills in what every event has, and sends it; `what` is what a person would call it. */
function send({ path, ...fields }, what, clickedAt = performance.now()) {
  sequence += 1;
  const event = {
    eventID: newId(),
    visitID: visit.id,
    globalVisitID: visit.visitor,
    pageID: visit.page,
    timestamp: Date.now(),
    seq: sequence,
    url: new URL(path, location.href).href,
    languageCode: navigator.language,
    ...fields,
  };
  inspector.sent(event, what, clickedAt);
  outbox.push(visit.secret, event);
}

function showState(state) {
  const texts = { connecting: "Connecting", live: "Live", lost: "Connection lost, trying again" };
  const status = byId("status");
  if (status.dataset.state === state) return;
  status.dataset.state = state;
  status.textContent = texts[state];
}

/** Listens, and shows the shop to the visitor. */
function begin() {
  inspector.open(visit);
  invitations.open(visit);
  listening = new AbortController();
  showState("connecting");
  listen(visit, listening.signal, {
    onSaid: (message) => invitations.said(message),
    onState(state) {
      showState(state);
      if (state === "live") invitations.catchUp();
    },
  });
  shop.open(visit);
}

byId("send-broken").addEventListener("click", ({ timeStamp }) => shop.sendBroken(timeStamp));
byId("start-over").addEventListener("click", async () => {
  send({ eventName: "VisitEnded", path: "/" }, "Visit ended");
  listening.abort();
  forgetVisit();
  visit = await openVisit();
  begin();
});

outbox.resume();
begin();
