// Autoscaling decisions and why; nothing where nobody decides.

import { h } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { card, facts, pill, table } from "./parts.js";

export function scaling(status) {
  const models = Object.values(status.autoscaling ?? {});
  if (!models.length) return null;
  return h("div", { class: "models", "data-key": "autoscaling" }, h("h2", { class: "part" }, "Autoscaling"), models.map((one) => card(one.model,
    facts([
      ["Replicas", `${one.ready} ready, ${one.target} asked for`],
      ["Needed", number(one.needed, 2)],
      ["Backlog", duration(one.backlog_s)],
      ["Start of a replica", duration(one.startup_s)],
      ["Decided", `${one.decisions.up} times up, ${one.decisions.down} times down`],
    ]),
    h("p", { class: "lead" }, one.reasons.join("; ")),
    table(`Changes of ${one.model}`, ["When", "Replicas", "Why"], [...one.changes].reverse().map((change) => ({
      key: `${change.at}`, cells: [clock(change.at), pill(`${change.from} → ${change.to}`, change.to > change.from ? "warn" : "good"), change.reasons.join("; ")],
    })), "No change yet."))));
}
