// Load and latency now and over the last quarter of an hour, then each model with its engines and its queue.

import { h, show } from "./dom.js";
import { draw } from "./charts.js";
import { scaling } from "./scaling.js";
import { duration, number, percent } from "./format.js";
import { card, facts, meter, pill, table, tone } from "./parts.js";

const RECENT = 5;
let chosen = "";

export function render(root, state) {
  const { history, snapshot } = state;
  const names = snapshot.status.models.map((model) => model.name);
  if (!names.includes(chosen)) chosen = "";
  const picked = chosen ? [chosen] : names;
  show(root,
    h("div", { class: "bar-top" }, h("h1", null, "Overview"), filter(names, root, state)),
    (snapshot.status.warnings ?? []).map((warning) => h("p", { class: "note warn" }, warning)),
    h("div", { class: "tiles" }, tiles(history, picked, snapshot.status)),
    h("div", { class: "charts" }, ["Output tokens per second", "Requests running and waiting", "Time to first token", "Between two tokens"]
      .map((title) => card(title, h("div", { class: "chart", "data-own": true, "data-chart": title })))),
    h("h2", { class: "part" }, "Models"),
    h("div", { class: "models" }, snapshot.status.models.filter((model) => picked.includes(model.name)).map(modelCard)),
    scaling(snapshot.status));
  if (history) charts(root, history, picked, names);
}

function filter(names, root, state) {
  if (names.length < 2) return null;
  return h("label", { class: "inline" }, "Model ", h("select", {
    "aria-label": "Model", onchange: (event) => { chosen = event.target.value; render(root, state); },
  }, h("option", { value: "" }, "all"), names.map((name) => h("option", { value: name, selected: name === chosen, "data-key": name }, name))));
}

const last = (series) => (series ?? []).slice(-RECENT).filter((value) => value !== null);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

function tiles(history, picked, status) {
  const models = picked.map((name) => history?.models[name] ?? {});
  const sum = (series) => models.map((model) => mean(last(model[series])) ?? 0).reduce((total, value) => total + value, 0);
  const worst = (series) => {
    const values = models.map((model) => mean(last(model[series]))).filter((value) => value !== null);
    return values.length ? Math.max(...values) : null;
  };
  const admissions = status.models.filter((model) => picked.includes(model.name)).map((model) => model.admission);
  const total = (name) => admissions.reduce((all, one) => all + one[name], 0);
  const oldest = Math.max(0, ...admissions.map((one) => one.oldest_s));
  const several = picked.length > 1 ? ", slowest model" : "";
  const errors = sum("errors_s");
  return [
    tile("Requests", `${number(sum("requests_s"))}`, "/s", errors ? `${number(errors, 2)} /s failed or refused` : "none failed", errors ? "bad" : ""),
    tile("Output", number(sum("output_tokens_s"), 0), "tokens/s", `${number(sum("prompt_tokens_s"), 0)} prompt tokens/s`),
    tile("First token", duration(worst("first_token_p50")), "", `p95 ${duration(worst("first_token_p95"))}${several}`),
    tile("Between tokens", duration(worst("inter_token_p50")), "", `p95 ${duration(worst("inter_token_p95"))}${several}`),
    tile("Running", number(total("running_sequences")), `of ${number(total("sequences_limit"))}`, `${status.requests_in_flight} HTTP requests open`),
    tile("Waiting", number(total("waiting")), "", total("waiting") ? `oldest for ${duration(oldest)}` : "nobody waits", total("waiting") ? "warn" : ""),
  ];
}

function tile(name, value, unit, note, colour = "") {
  return h("article", { class: "tile", "data-tile": name }, h("h2", null, name),
    h("p", { class: "value" }, value, h("small", null, ` ${unit}`)), h("p", { class: `note ${colour}` }, note));
}

function charts(root, history, picked, names) {
  const x = history.at.map((at) => new Date(at * 1000));
  const at = (title) => root.querySelector(`[data-chart="${title}"]`);
  const lines = (series) => picked.flatMap((name) => series.map(([one, label, more]) => ({
    name: picked.length > 1 ? `${name}${label}` : label.trim() || name, x, y: history.models[name]?.[one] ?? [], hue: names.indexOf(name), ...more })));
  const pair = (what) => [[`${what}_p50`, " p50", {}], [`${what}_p95`, " p95", { dash: "dot", hidden: picked.length > 1 }]];
  draw(at("Output tokens per second"), lines([["output_tokens_s", "", { fill: true }]]), { unit: "tokens/s" });
  draw(at("Requests running and waiting"), lines([["running", " running", {}], ["waiting", " waiting", { dash: "dot", hidden: picked.length > 1 }]]));
  draw(at("Time to first token"), lines(pair("first_token")), { seconds: true });
  draw(at("Between two tokens"), lines(pair("inter_token")), { seconds: true });
}

function modelCard(model) {
  const { admission } = model;
  const waiting = Object.entries(admission.by_class).filter(([, each]) => each.requests);
  const refused = Object.entries(admission.refused).filter(([, count]) => count);
  return card(model.name,
    facts([
      ["Running", h("span", null, `${admission.running_sequences} of ${admission.sequences_limit} sequences `,
        meter(admission.running_sequences / Math.max(1, admission.sequences_limit), "Sequences in use"))],
      ["Waiting", admission.waiting ? `${admission.waiting} (${waiting.map(([name, each]) => `${each.requests} ${name}`).join(", ")}), ${number(admission.waiting_tokens)} tokens of work, oldest ${duration(admission.oldest_s)}` : "nobody"],
      ["Prefill ahead", `${number(admission.prefill_tokens)} of ${number(admission.prefill_limit)} tokens`],
      ["Context", `${number(model.max_model_len, 0)} tokens`],
      ...(refused.length ? [["Refused so far", refused.map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`).join(", ")]] : []),
    ]),
    table(`Engines of ${model.name}`, ["Engine", "State", "Format", "Requests", "From here", "Prompt tokens queued", "KV cache"],
      model.engines.map((engine) => ({ key: engine.id, cells: [
        h("code", { title: engine.address }, engine.id.slice(-12)), pill(engine.state, tone(engine.state)), engine.format,
        number(engine.requests), number(engine.requests_from_here), number(engine.prefill_tokens),
        h("span", { class: "with-meter" }, meter(engine.kv_use, `KV cache ${percent(engine.kv_use)}`, engine.kv_use > 0.9 ? "bad" : ""), percent(engine.kv_use)),
      ] })), "No engine is known."),
    Object.entries(model.refused).map(([engine, reason]) => h("p", { class: "note warn" }, `Engine ${engine.slice(-12)} is refused: it ${reason}.`)));
}
