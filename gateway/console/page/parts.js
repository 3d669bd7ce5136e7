// What several views are made of.

import { h } from "./dom.js";

export const pill = (text, tone = "") => h("span", { class: `pill ${tone}` }, text);

export function card(title, ...content) {
  return h("article", { class: "card", "data-key": typeof title === "string" ? title : title.dataset.key }, h("h2", null, title), ...content);
}

export function meter(share, label, tone = "") {
  const width = `${Math.min(100, 100 * Math.max(0, share ?? 0))}%`;
  return h("span", { class: "meter", role: "img", "aria-label": label, title: label },
    h("span", { class: `fill ${tone}`, style: { width } }));
}

export function table(caption, heads, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", null,
      h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", null, rows.map(({ key, cells, tone }) => h("tr", { "data-key": key, class: tone },
        cells.map((cell, place) => h("td", { "data-head": heads[place] }, cell)))))));
}

export const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

const TONES = { ok: "good", up: "good", connecting: "warn", draining: "warn", refused: "warn", invalid: "warn", gone: "", error: "bad",
  learning: "warn", drift: "bad" };
export const tone = (state) => TONES[state] ?? "";
