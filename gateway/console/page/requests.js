// The latest requests, and each one's trace.

import { h, show } from "./dom.js";
import { read } from "./api.js";
import { ago, duration, number } from "./format.js";
import { pill, table, tone } from "./parts.js";
import { waterfall } from "./waterfall.js";

const MOST = 40;
let chosen = null, failedOnly = false;

export function render(root, state) {
  const rows = state.snapshot.requests.filter((one) => !failedOnly || one.outcome !== "ok").slice(0, MOST);
  show(root,
    h("h1", null, "Requests"),
    h("p", { class: "lead" }, "The last ones to end at this gateway; failed ones are kept longer. No text of theirs is."),
    h("label", { class: "choice" }, h("input", { type: "checkbox", onchange: (event) => { failedOnly = event.target.checked; render(root, state); } }), "Only those that did not end well"),
    h("div", { id: "trace", "data-own": true }),
    table("Requests", ["Ended", "Model", "Tenant", "Outcome", "First token", "Whole", "Prompt", "Output", "Trace"], rows.map((one) => ({
      key: one.id, cells: [
        ago(one.ago_s), one.model || one.path, one.tenant || "–",
        h("span", null, pill(one.outcome === "ok" ? "ok" : `${one.status} ${one.error || one.outcome}`, tone(one.outcome)), one.failovers ? pill(`${one.failovers} failover`, "warn") : null),
        duration(one.first_token_s), duration(one.seconds),
        h("span", { title: `${one.cached_tokens} of them cached` }, number(one.prompt_tokens)), number(one.completion_tokens),
        h("button", { type: "button", class: "link", onclick: () => open(root, one.id), "aria-label": `Trace of ${one.id}` }, one.id.slice(0, 8)),
      ] })), failedOnly ? "None." : "No request has ended yet."));
}

async function open(root, id) {
  chosen = id;
  const place = root.querySelector("#trace");
  try {
    const trace = await read(`trace?id=${encodeURIComponent(id)}`);
    if (chosen !== id) return;
    place.replaceChildren(h("article", { class: "card" },
      h("h2", null, "Trace ", h("code", null, id), h("button", { type: "button", class: "icon close", "aria-label": "Close the trace", onclick: () => place.replaceChildren() }, "✕")),
      h("p", { class: "note" }, `${trace.path}, ${trace.model}: ${duration(trace.seconds)} in all, ${duration(trace.own_s)} of it the gateway's own.`),
      waterfall(trace)));
    place.scrollIntoView({ block: "nearest" });
  } catch (error) {
    place.replaceChildren(h("p", { class: "wrong", role: "alert" }, error.message));
  }
}
