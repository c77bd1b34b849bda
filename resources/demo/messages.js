// Listens to the messages of a visit: server-sent events by `fetch`, because the visit's secret goes in
// a header and never in an address. A stream that breaks or falls silent is opened again, with
// `Last-Event-ID`, after a pause that grows; a network that comes back ends the pause.

import { tab } from "./dom.js";

const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 5_000;
/** The server says something every 15 seconds. */
const SILENCE_MS_MAX = 40_000;
/** Of what has come of one event so far. */
const TEXT_MAX = 1 << 20;

/** Listens until `signal` says stop. `onSaid(message)` gets each one, `onState("live" | "lost")`. */
export async function listen(visit, signal, { onSaid, onState }) {
  let retryMs = RETRY_MS_MIN;
  while (!signal.aborted) {
    try {
      await listenOnce(visit, signal, {
        onOpen() {
          retryMs = RETRY_MS_MIN;
          onState("live");
        },
        onSaid(said) {
          if (said.id) tab.write("last-message", said.id);
          onSaid(said);
        },
      });
    } catch {
      // Whatever it was, the answer is the same.
    }
    if (signal.aborted) return;
    onState("lost");
    await pause(retryMs * (0.75 + Math.random() / 2), signal);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }
}

async function listenOnce(visit, signal, { onOpen, onSaid }) {
  const silence = new AbortController();
  const last = tab.read("last-message", null);
  const response = await fetch(`/v1/visits/${visit.id}/notifications?page=${visit.page}`, {
    headers: { authorization: `Bearer ${visit.secret}`, ...(last && { "last-event-id": last }) },
    cache: "no-store",
    signal: AbortSignal.any([signal, silence.signal]),
  });
  if (!response.ok) throw new Error(`the answer was ${response.status}`);
  onOpen();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENCE_MS_MAX);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    if (text.length > TEXT_MAX) throw new Error("an event without an end");
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) onSaid(JSON.parse(data.map((line) => line.slice(5)).join("\n")));
    }
  }
}

function pause(ms, signal) {
  return new Promise((over) => {
    const timer = setTimeout(end, ms);
    function end() {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      over();
    }
    addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

/** Says that the page has dealt with a message; false where the server did not hear it. */
export async function acknowledge(visit, id) {
  try {
    const response = await fetch(`/v1/visits/${visit.id}/notifications/${id}`, {
      method: "POST",
      headers: { authorization: `Bearer ${visit.secret}`, "content-type": "application/json" },
      body: JSON.stringify({ status: "acknowledged", page: visit.page }),
      keepalive: true,
    });
    return response.ok;
  } catch {
    return false;
  }
}
