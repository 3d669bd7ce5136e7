// The newest records of the audit trail.

import { h, show } from "./dom.js";
import { read } from "./api.js";
import { pill, table } from "./parts.js";

const EVERY_MS = 5000;
let records = null, asked = 0, wrong = "";

const TONES = [[/^auth\.failed|refused|poisoned|quarantined|broken|dropped/, "bad"], [/level|revoked|repaired/, "warn"]];

export function render(root, state) {
  draw(root);
  if (performance.now() - asked < EVERY_MS || state.lost !== null) return;
  asked = performance.now();
  read("audit").then((found) => { records = found; wrong = ""; }, (error) => { wrong = error.message; }).then(() => draw(root));
}

function draw(root) {
  show(root,
    h("h1", null, "Audit"),
    h("p", { class: "lead" }, "The newest records in this machine's trail, of all its gateways. Whether the trail is whole tells ", h("code", null, "sluice audit verify"), "."),
    wrong ? h("p", { class: "wrong" }, wrong) : null,
    records === null ? h("p", { class: "empty" }, "Reading…") : table("Audit records", ["Time", "Event", "What", "Chain"], records.map((one) => ({
      key: `${one.chain}-${one.seq}`, cells: [
        new Date(one.time).toLocaleString(), pill(one.event, TONES.find(([pattern]) => pattern.test(one.event))?.[1] ?? ""),
        h("span", { class: "chips" }, Object.entries(one.fields).map(([name, value]) => h("span", { class: "chip" }, h("b", null, name), ` ${value}`))),
        h("code", null, `${one.chain} #${one.seq}`),
      ] })), "The trail is empty."));
}
