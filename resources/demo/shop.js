// The shop. What its visitor does becomes an event in Beckon's words; the shop itself decides nothing.

import { byId, button, element, tab } from "./dom.js";

/** `art` draws the lamp: shapes in a box of 160 by 120. */
const PRODUCTS = [
  {
    sku: "L-120", name: "Dawn reading lamp", price: 120, light: "warm, 900 lm", warranty: "5 years",
    art: ["M44 104h40M64 104V40q0-22 24-22h8", "M84 22l34-6 10 26-30 6z", "M98 50l30-6 18 60H84z"],
  },
  {
    sku: "L-89", name: "Halo desk lamp", price: 89, light: "neutral, 700 lm", warranty: "3 years",
    art: ["M58 104h44M80 104V78L56 52l30-24", "M78 18l30 8-6 24-30-8z", "M78 44l26 7 2 53H54z"],
  },
  {
    sku: "L-64", name: "Ember table lamp", price: 64, light: "amber, 400 lm", warranty: "3 years",
    art: ["M60 104h40M80 104V62", "M60 24h40l14 38H46z", "M48 64h64l14 40H34z"],
  },
  {
    sku: "B-4", name: "Spare bulb", price: 4, light: "warm, 470 lm", warranty: "1 year",
    art: ["M70 88h20M72 96h16M76 104h8", "M80 22a27 27 0 0 1 16 49q-5 4-5 10H69q0-6-5-10a27 27 0 0 1 16-49z",
      "M80 4v8M122 46h8M30 46h8M112 16l-6 6M48 16l6 6"],
  },
];

const money = new Intl.NumberFormat("en", {
  style: "currency", currency: "EUR", minimumFractionDigits: 0,
});

function picture(product) {
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const art = svg("svg", { viewBox: "0 0 160 120", class: "art", "aria-hidden": "true" });
  ["stand", "shade", "beam"].forEach((part, at) => {
    art.append(svg("path", { class: part, d: product.art[at] }));
  });
  return art;
}

export class Shop {
  /** `send(event, what, clickedAt)` takes events. */
  constructor(send) {
    this.send = send;
    this.cart = tab.read("cart", []);
    this.drawProducts();
    this.wire();
  }

  drawProducts() {
    const add = (product) => {
      const put = (clicked) => this.add(product, clicked.timeStamp);
      const made = button("primary", "Add to cart", put);
      made.setAttribute("aria-label", `Add ${product.name} to the cart`);
      made.dataset.sku = product.sku;
      return made;
    };
    byId("products").append(
      ...PRODUCTS.map((product) =>
        element(
          "li",
          "product",
          picture(product),
          element("h3", "", product.name),
          element("p", "hint", product.light),
          element("p", "buy", element("strong", "", money.format(product.price)), add(product)),
        ),
      ),
    );
    byId("price-rows").append(
      ...PRODUCTS.map(({ name, light, warranty, price }) => {
        const head = element("th", "", name);
        head.scope = "row";
        const cells = [light, warranty, money.format(price)];
        return element("tr", "", head, ...cells.map((text) => element("td", "", text)));
      }),
    );
  }

  wire() {
    const click = (id, act) =>
      byId(id).addEventListener("click", (clicked) => act(clicked.timeStamp));
    click("nav-home", (at) => this.show("home", at));
    click("nav-prices", (at) => this.show("prices", at));
    click("cart-open", (at) => this.show("cart", at));
    click("check-out", (at) => this.checkOut(at));
    click("sign-in", (at) => this.signIn(at));
    byId("search-form").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      this.search(byId("query").value.trim() || "reading lamp", submitted.timeStamp);
    });
  }

  /** The visit that the shop is open for. */
  open(visit) {
    this.visit = visit;
    if (visit.isNew) {
      this.cart = [];
      this.send({ eventName: "VisitStarted", path: "/" }, "Visit started");
    }
    this.draw();
    this.show("home");
  }

  /** A view is a page of the shop: to open it is an event, also where it is open. */
  show(view, at) {
    const titles = { home: "Lamps", prices: "Prices", cart: "Cart" };
    for (const name of Object.keys(titles)) {
      byId(`view-${name}`).hidden = name !== view;
      const link = byId(name === "cart" ? "cart-open" : `nav-${name}`);
      if (name === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const category = view === "prices" ? "pricing" : view;
    const path = view === "home" ? "/" : `/${view}`;
    const event = { eventName: "PageEntered", category, path, data: { title: titles[view] } };
    this.send(event, titles[view], at);
  }

  add({ sku, name, price }, at) {
    this.cart.push({ sku, name, price });
    this.draw();
    const data = { sku, name: `the ${name}`, price };
    this.send({ eventName: "AddToCart", path: "/cart", data }, `Into the cart: ${name}`, at);
  }

  checkOut(at) {
    const price = this.total();
    this.cart = [];
    this.draw();
    this.send({ eventName: "Checkout", path: "/checkout", data: { price } }, "Checkout", at);
    byId("cart-empty").textContent = "Thank you! Your order is on its way.";
  }

  signIn(at) {
    this.visit.user = this.visit.user ? "" : "ada";
    tab.write("user", this.visit.user);
    const eventName = this.visit.user ? "SignIn" : "SignOut";
    const what = this.visit.user ? "Signed in as Ada" : "Signed out";
    this.send({ eventName, path: "/account", data: { userID: "ada" } }, what, at);
    this.draw();
  }

  search(query, at) {
    const path = `/search?q=${encodeURIComponent(query)}`;
    this.send({ eventName: "Search", path, data: { query } }, `Searched: ${query}`, at);
    const words = query.toLowerCase().split(/\s+/);
    const found = PRODUCTS.filter(({ name }) =>
      words.some((word) => name.toLowerCase().includes(word)),
    );
    const names = found.map(({ name }) => name).join(", ");
    const result = byId("search-result");
    result.hidden = false;
    result.textContent = names ? `Found: ${names}.` : `Nothing is called \u201c${query}\u201d.`;
  }

  /** Something that Beckon refuses, to see how. */
  sendBroken(at) {
    this.send({ eventName: "", path: "/", data: {} }, "A broken event", at);
  }

  total() {
    return this.cart.reduce((sum, one) => sum + one.price, 0);
  }

  draw() {
    tab.write("cart", this.cart);
    byId("cart-count").textContent = String(this.cart.length);
    byId("cart-open").setAttribute("aria-label", `Cart, ${this.cart.length} in it`);
    byId("cart-total").textContent = money.format(this.total());
    byId("cart-empty").hidden = this.cart.length > 0;
    byId("cart-empty").textContent = "Nothing in it yet.";
    byId("check-out").disabled = this.cart.length === 0;
    byId("cart-rows").replaceChildren(
      ...this.cart.map(({ name, price }) =>
        element("li", "", element("span", "", name), element("span", "", money.format(price))),
      ),
    );
    byId("sign-in").textContent = this.visit?.user ? "Ada, sign out" : "Sign in";
    byId("search-result").hidden = true;
  }
}
