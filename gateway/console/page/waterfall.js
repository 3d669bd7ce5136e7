// A request's trace: one row for each span, its bar where it lay in time; a row opens to what is known about it.

import { h } from "./dom.js";
import { duration, words } from "./format.js";

const KINDS = { engine: "engine", queue: "wait", admission: "wait", parked: "wait", receive: "wait", send: "wait", prefill: "prefill", decode: "decode" };

export function waterfall(trace) {
  const whole = Math.max(trace.tree.end, 1e-9);
  const rows = [];
  (function walk(node, depth) {
    rows.push(row(node, depth, whole));
    node.children.forEach((child) => walk(child, depth + 1));
  })(trace.tree, 0);
  return h("div", { class: "waterfall", role: "group", "aria-label": "Trace" }, ruler(whole), rows);
}

function ruler(whole) {
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return h("div", { class: "ruler", "aria-hidden": "true" }, h("span"), h("span", { class: "track" },
    marks.map((mark) => h("span", { class: "tick", style: { left: `${100 * mark}%` } }, h("span", null, duration(mark * whole))))));
}

function row(node, depth, whole) {
  const took = node.end - node.begin;
  const bar = h("span", {
    class: `bar ${depth ? KINDS[node.name] ?? "own" : "root"}`,
    style: { left: `${(100 * node.begin) / whole}%`, width: `${(100 * took) / whole}%` },
  });
  const ticks = node.events.map((event) => h("span", { class: "event", style: { left: `${(100 * event.at) / whole}%` },
    title: `${words(event.name)} after ${duration(event.at)}` }));
  const known = Object.entries(node.attributes);
  const events = node.events.map((event) => [`${words(event.name)} at`, `${duration(event.at)} ${Object.values(event.attributes).join(" ")}`]);
  const head = [
    h("span", { class: "name", style: { "padding-left": `${0.9 * depth}rem` } }, node.name),
    h("span", { class: "track" }, bar, ticks),
    h("span", { class: "took" }, duration(took)),
  ];
  if (!known.length && !events.length) return h("div", { class: "span" }, head);
  return h("details", { class: "span" }, h("summary", null, head),
    h("dl", { class: "facts small" }, [...known, ...events].map(([name, value]) =>
      h("div", null, h("dt", null, words(name.replace("sluice.", "").replaceAll(".", " "))), h("dd", null, String(value))))));
}
