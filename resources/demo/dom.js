// Small helpers for the page. What came from a server or a visitor goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with a class and children; texts become text nodes. */
export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that does something. */
export function button(className, text, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/** After the next paint, at the earliest: the frame's callback, and a task behind it. */
export const afterPaint = () =>
  new Promise((painted) => {
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => painted(performance.now());
      channel.port2.postMessage(null);
    });
  });

/**
 * Puts a row into a list by its time, the newest on top, and takes what is over the bound off the
 * end: its rows leave `rows`, a map by `row.dataset.key`.
 */
export function putInOrder(list, rows, row, { key, at, most }) {
  Object.assign(row.dataset, { key, at: String(at) });
  rows.set(key, row);
  const older = [...list.children].find((other) => Number(other.dataset.at) <= at) ?? null;
  list.insertBefore(row, older);
  while (list.children.length > most) {
    rows.delete(list.lastElementChild.dataset.key);
    list.lastElementChild.remove();
  }
}

/** What this tab remembers over a reload; where the browser keeps nothing, over none. */
export const tab = {
  read(key, otherwise) {
    try {
      return JSON.parse(sessionStorage.getItem(`beckon-${key}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  write(key, value) {
    try {
      sessionStorage.setItem(`beckon-${key}`, JSON.stringify(value));
    } catch {
      // Private windows and full storage: the page goes on without.
    }
  },
  forget(...keys) {
    try {
      for (const key of keys) sessionStorage.removeItem(`beckon-${key}`);
    } catch {
      // Nothing was kept either.
    }
  },
};
