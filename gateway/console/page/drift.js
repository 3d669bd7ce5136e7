// What the service is asked and answers, against what was normal at this time of day.

import { h, show } from "./dom.js";
import { ask } from "./api.js";
import { duration, moment, number, percent, words } from "./format.js";
import { card, facts, meter, pill, table, tone } from "./parts.js";

const TESTS = { ks: "KS distance D", psi: "population stability index", mmd: "squared MMD" };
const NAMES = { prompt_tokens: "Prompt length", output_tokens: "Output length", language: "Language (script)", refusals: "Refusals", finish: "Finish reasons", prompts: "Prompts (embedding)" };

export function render(root, state) {
  const { status, now } = state.snapshot;
  const models = Object.entries(status.drift ?? {});
  show(root,
    h("h1", null, "Drift"),
    h("p", { class: "lead" }, "The latest requests of each model version beside a reference of the same time of day. A signal has drifted if its distance passes the threshold and is no chance (p ≤ 0.001), several times in a row."),
    models.length ? models.map(([name, model]) => modelCard(name, model, now)) : h("p", { class: "empty" }, "No request has been looked at yet."));
}

function modelCard(name, model, now) {
  const { reference } = model;
  const left = reference.until === null ? null : reference.until - now;
  return card(h("span", { "data-key": name }, name, " ", pill(model.state, tone(model.state))),
    facts([
      ["Reference", reference.since === null ? "none yet" : `${number(reference.samples, 0)} requests since ${moment(reference.since)}`],
      ["Learning", left !== null && left > 0 ? `for another ${duration(left)}` : "done"],
      ["Times of day known", `${reference.slots_known} of ${reference.slots}`],
      ["Learned from version", h("code", null, reference.version || "–")],
    ]),
    model.versions.map((version) => versionPart(version)),
    h("p", null, h("button", { type: "button", onclick: () => relearn(name) }, "Learn anew…"), " ", h("span", { class: "note" }, "What comes from then on is normal.")));
}

function versionPart(version) {
  const signals = Object.entries(version.signals);
  return h("section", { "data-key": version.version },
    h("h3", null, "Version ", h("code", null, version.version), h("small", null, ` ${version.samples} requests`)),
    signals.length ? table("Signals", ["Signal", "Distance", "To threshold", "Threshold", "p", "Verdict"], signals.map(([signal, one]) => ({
      key: signal, cells: [
        NAMES[signal] ?? words(signal), h("span", { title: TESTS[one.test] }, `${one.distance.toFixed(3)} ${one.test.toUpperCase()}`),
        meter(one.distance / (2 * one.threshold), `Distance; the middle is the threshold`, one.drifted ? "bad" : ""),
        String(one.threshold), one.p < 1 ? one.p.toPrecision(1) : "–",
        version.alerts.includes(signal) ? pill("drift", "bad") : one.drifted ? pill("not confirmed", "warn") : pill("normal", "good"),
      ] })), "") : h("p", { class: "empty" }, "Too few requests, or no reference for this time of day yet, to be judged."),
    "language" in version.present ? shares(version) : null);
}

function shares({ present, normal }) {
  const names = [...new Set([...Object.keys(present.language), ...Object.keys(normal.language ?? {})])];
  const rows = names.map((name) => [words(name), present.language[name] ?? 0, normal.language?.[name]]);
  return h("details", null, h("summary", null, "What the requests look like"),
    facts([
      ["Prompt length, median", `${number(present.prompt_tokens_p50, 0)} tokens (normal: ${number(normal.prompt_tokens_p50, 0)})`],
      ["Output length, median", `${number(present.output_tokens_p50, 0)} tokens (normal: ${number(normal.output_tokens_p50, 0)})`],
      ["Refusals", `${percent(present.refusals)} (normal: ${percent(normal.refusals)})`],
      ["Finish", Object.entries(present.finish).map(([name, share]) => `${name} ${percent(share)}`).join(", ")],
      ...rows.map(([name, share, before]) => [`Script: ${name}`, `${percent(share)} (normal: ${percent(before)})`]),
    ]));
}

async function relearn(model) {
  if (!confirm(`Forget what was normal for ${model}, and learn it anew?`)) return;
  try {
    await ask(`relearn?model=${encodeURIComponent(model)}`, { method: "POST" });
  } catch (error) {
    alert(error.message);
  }
}
