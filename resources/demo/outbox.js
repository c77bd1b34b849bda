// Events on their way to `POST /v1/events`. Each stays in the tab's storage until it was answered, and
// goes again with the same eventID after a reload, a lost network or a server that was away: the
// server takes it once. One request at a time, so that none overtakes another.

import { tab } from "./dom.js";

/** Events that wait; one more is not taken, and says so. */
const WAITING_MAX = 200;
const BATCH_MAX = 50;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;
const ANSWER_MS_MAX = 10_000;

export class Outbox {
  /**
   * `onAnswer(event, answer)` is told `{status: "waiting" | "ok" | "duplicate" | "rejected" |
   * "dropped", ms, reason}`.
   */
  constructor(onAnswer) {
    this.onAnswer = onAnswer;
    this.waiting = tab.read("outbox", []);
    this.isSending = false;
    this.retryMs = RETRY_MS_MIN;
    this.wake = () => {};
    addEventListener("online", () => this.wake());
  }

  /** Goes on with what an earlier page did not get rid of. */
  resume() {
    for (const { event } of this.waiting) this.onAnswer(event, { status: "waiting" });
    this.run();
  }

  push(secret, event) {
    if (this.waiting.length >= WAITING_MAX) {
      const reason = `${WAITING_MAX} events wait already`;
      this.onAnswer(event, { status: "dropped", reason });
      return;
    }
    this.waiting.push({ secret, event });
    tab.write("outbox", this.waiting);
    this.onAnswer(event, { status: "waiting" });
    this.run();
  }

  async run() {
    if (this.isSending) return;
    this.isSending = true;
    while (this.waiting.length > 0) {
      const { secret } = this.waiting[0];
      let end = this.waiting.findIndex((one) => one.secret !== secret);
      end = Math.min(end < 0 ? this.waiting.length : end, BATCH_MAX);
      const batch = this.waiting.slice(0, end).map((one) => one.event);
      const retryMs = await this.send(secret, batch);
      if (retryMs > 0) await this.pause(retryMs);
    }
    this.isSending = false;
  }

  /** Sends a batch; after how many milliseconds to try again, 0 where it was answered. */
  async send(secret, batch) {
    const began = performance.now();
    let response, answer;
    try {
      response = await fetch("/v1/events", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ sentAt: Date.now(), visitSecret: secret, events: batch }),
        keepalive: true,
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      answer = await response.json();
    } catch {
      return this.later(0);
    }
    if (response.status === 429 || response.status >= 500) {
      return this.later(1_000 * Number(response.headers.get("retry-after")));
    }
    this.retryMs = RETRY_MS_MIN;
    this.waiting.splice(0, batch.length);
    tab.write("outbox", this.waiting);
    const ms = performance.now() - began;
    batch.forEach((event, at) => this.onAnswer(event, { ms, ...resultOf(answer, at) }));
    return 0;
  }

  later(asked) {
    const wait = Math.max(asked || 0, this.retryMs * (0.75 + Math.random() / 2));
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    return wait;
  }

  /** Until the time is over, or the network is there again. */
  pause(ms) {
    return new Promise((over) => {
      const timer = setTimeout(over, ms);
      this.wake = () => {
        clearTimeout(timer);
        over();
      };
    });
  }
}

/** The result of one event; a refusal of the whole request is everyone's. */
function resultOf(answer, at) {
  const result = answer.results?.[at];
  if (!result) return { status: "rejected", reason: answer.error?.message ?? "refused" };
  if (result.status !== "rejected") return { status: result.status };
  const where = result.path ? ` at ${result.path}` : "";
  return { status: "rejected", reason: `${result.reason ?? result.code}${where}` };
}
