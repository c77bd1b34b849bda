// Who the visitor is. The browser draws the visit's secret, 256 random bits; the visitID is the first
// 128 bits of its SHA-256, so that only who knows the secret can speak for the visit and listen to it.

import { tab } from "./dom.js";

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Random bytes as hex digits. */
export const randomHex = (bytes) => hex(crypto.getRandomValues(new Uint8Array(bytes)));

/** An id as Beckon writes it. */
export const newId = () => randomHex(16).toUpperCase();

/** The visitor over many visits. A demo forgets them with the tab. */
const keptVisitor = () => {
  const visitor = tab.read("visitor", null) ?? newId();
  tab.write("visitor", visitor);
  return visitor;
};

/** The visit of this tab: the one that a reload goes on with, or a new one. */
export async function openVisit() {
  const kept = tab.read("secret", null);
  const secret = kept ?? randomHex(32);
  tab.write("secret", secret);
  const bits = Uint8Array.from(secret.match(/../g), (byte) => parseInt(byte, 16));
  const digest = await crypto.subtle.digest("SHA-256", bits);
  return {
    secret,
    id: hex(new Uint8Array(digest).subarray(0, 16)).toUpperCase(),
    visitor: keptVisitor(),
    page: newId(),
    isNew: kept === null,
    user: tab.read("user", ""),
  };
}

/** The next visit is another visitor's. What was not sent yet stays, and goes out. */
export const forgetVisit = () =>
  tab.forget("secret", "visitor", "user", "cart", "messages", "last-message");
