// Who uses the service: traffic, budgets, and the guard's level with its reasons.

import { h, show } from "./dom.js";
import { ago, moment, number, percent, words } from "./format.js";
import { card, facts, meter, pill, table } from "./parts.js";

const LEVELS = { observe: "good", strip: "warn", throttle: "warn", verify: "bad", quarantine: "bad" };

export function render(root, state) {
  const { tenants, budgets, status } = state.snapshot;
  show(root,
    h("h1", null, "Tenants"),
    h("p", { class: "lead" }, "Who has asked this gateway since its start; the latest first."),
    table("Tenants", ["Tenant", "Tiers", "Keys", "Requests", "Refused", "Failed", "Prompt tokens", "Output tokens", "Last seen"], tenants.map((one) => ({
      key: one.tenant, cells: [
        h("b", null, one.tenant), one.tiers.join(", "), h("span", { title: one.keys.join(", ") }, one.keys.length),
        number(Object.values(one.outcomes).reduce((sum, count) => sum + count, 0), 0), tally(one.outcomes.refused, "warn"), tally(one.outcomes.error, "bad"),
        number(one.prompt_tokens), number(one.completion_tokens), ago(one.ago_s),
      ] })), "No request of a known key has ended yet."),
    budgets === null ? h("p", { class: "note warn" }, "Token budgets cannot be read at the moment.") : budgets?.length ? budgetPart(budgets) : null,
    status.guard ? guardPart(status.guard) : null);
}

const tally = (count, colour) => (count ? pill(number(count, 0), colour) : "0");

function budgetPart(budgets) {
  return card("Token budgets", table("Token budgets", ["Tenant", "Of", "Per", "Model", "Used", "Limit", ""], budgets.map((one) => ({
    key: `${one.tenant}/${one.of}/${one.per}/${one.model ?? ""}`, cells: [
      h("b", null, one.tenant), one.of, one.per, one.model ?? "all", number(one.used, 0), number(one.limit, 0),
      h("span", { class: "with-meter" }, meter(one.used / one.limit, `${percent(one.used / one.limit)} used`, one.used > 0.9 * one.limit ? "bad" : ""), percent(one.used / one.limit)),
    ] })), "No budget applies to the tenants seen."));
}

function guardPart(guard) {
  const flagged = Object.entries(guard.flagged);
  const leaks = (guard.leaks ?? []).filter((one) => one.share_of_output_layer !== null);
  return card("Extraction guard",
    facts([
      ["Requests seen", number(guard.seen, 0)], ["Keys known", number(guard.keys_known, 0)],
      ["Mode", guard.enforce === false ? "shadow: tells and does nothing" : "enforcing"],
      ...(guard.dropped ? [["Not looked at", number(guard.dropped, 0)]] : []),
    ]),
    (guard.warnings ?? []).map((warning) => h("p", { class: "note warn" }, warning)),
    table("Flagged keys", ["Key", "Level", "Applied", "Score", "Since", "Because"], flagged.map(([key, one]) => ({
      key, cells: [h("code", null, key), pill(one.level.toLowerCase(), LEVELS[one.level.toLowerCase()]), pill(one.applied.toLowerCase(), LEVELS[one.applied.toLowerCase()]),
        number(one.score, 2), one.since ? moment(one.since) : "–",
        h("span", { class: "chips" }, one.reasons.map((reason) => h("span", { class: "chip", title: `${reason.points} points` }, h("b", null, words(reason.feature)), ` ${number(reason.value, 2)} (usual: ${number(reason.usual, 2)})`)))],
    })), "No key is above the lowest level."),
    leaks.length ? table("What was given of the output layer", ["Account", "Model", "Share"], leaks.slice(0, 20).map((one) => ({
      key: `${one.account}/${one.version}`, cells: [h("code", null, one.account), one.model ?? one.version,
        h("span", { class: "with-meter" }, meter(one.share_of_output_layer, "Share of the output layer", one.share_of_output_layer > 0.5 ? "bad" : ""), percent(one.share_of_output_layer))],
    })), "") : null);
}
