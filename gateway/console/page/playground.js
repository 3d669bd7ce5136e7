// A chat through this gateway's own door: each token with the time it took, and the request's trace once it is over.

import { h, show } from "./dom.js";
import { ask, read, Refused } from "./api.js";
import { duration, number } from "./format.js";
import { facts } from "./parts.js";
import { waterfall } from "./waterfall.js";

const TRIES = 20, BETWEEN_MS = 100;
let running = null;

export function render(root, state) {
  if (!root.firstChild) build(root);
  const select = root.querySelector("select");
  const names = state.snapshot.status.models.map((model) => model.name);
  if (names.join() !== [...select.options].map((option) => option.value).join()) {
    const before = select.value;
    select.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === before }, name)));
  }
}

function build(root) {
  show(root,
    h("h1", null, "Playground"),
    h("div", { class: "play" },
      h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); send(root); } },
        h("label", { for: "prompt" }, "Prompt"),
        h("textarea", { id: "prompt", rows: 5, required: true, onkeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(root); } }, "What is 17 + 25?"),
        h("div", { class: "fields" },
          h("label", null, "Model", h("select", { name: "model" })),
          h("label", null, "Most tokens", h("input", { name: "tokens", type: "number", min: 1, max: 100000, value: 128 })),
          h("label", null, "Temperature", h("input", { name: "temperature", type: "number", min: 0, max: 2, step: 0.1, value: 0 }))),
        h("div", { class: "buttons" }, h("button", { class: "primary", name: "send" }, "Send"),
          h("button", { type: "button", name: "stop", disabled: true, onclick: () => running?.abort() }, "Stop"),
          h("span", { class: "note" }, "Ctrl+Enter sends. It counts against your own key's limits."))),
      h("article", { class: "card answer" }, h("h2", null, "Answer"), h("div", { class: "tokens", "aria-live": "polite", tabindex: "0" }), h("p", { class: "wrong", role: "alert" }), h("div", { class: "timing" }))),
    h("div", { class: "trace" }));
}

async function send(root) {
  if (running !== null) return;
  const form = root.querySelector("form"), place = root.querySelector(".tokens"), wrong = root.querySelector(".answer .wrong");
  const body = {
    model: form.elements.model.value, stream: true, stream_options: { include_usage: true },
    messages: [{ role: "user", content: root.querySelector("#prompt").value }],
    max_tokens: Number(form.elements.tokens.value), temperature: Number(form.elements.temperature.value),
  };
  running = new AbortController();
  form.elements.send.disabled = true;
  form.elements.stop.disabled = false;
  place.replaceChildren();
  wrong.textContent = "";
  root.querySelector(".trace").replaceChildren();
  const run = { begun: performance.now(), times: [], usage: null, id: "" };
  try {
    const reply = await ask("chat", { method: "POST", body: JSON.stringify(body), signal: running.signal, headers: { "content-type": "application/json" } });
    run.id = reply.headers.get("x-request-id") ?? "";
    for await (const event of events(reply.body)) take(event, run, place, root);
  } catch (error) {
    if (error.name !== "AbortError") wrong.textContent = error instanceof Refused ? error.message : "The connection was lost.";
  } finally {
    running = null;
    form.elements.send.disabled = false;
    form.elements.stop.disabled = true;
  }
  timing(root, run, performance.now());
  if (run.id) await trace(root, run.id);
}

function take(event, run, place, root) {
  if (event.error) throw new Refused(0, event.error.message);
  if (event.usage) run.usage = event.usage;
  const text = event.choices?.[0]?.delta?.content;
  if (!text) return;
  const now = performance.now(), since = now - (run.times.at(-1) ?? run.begun);
  run.times.push(now);
  const heat = run.times.length === 1 ? "first" : since < 20 ? "fast" : since < 80 ? "" : since < 250 ? "slow" : "late";
  place.append(h("span", { class: `token ${heat}`, title: `${since.toFixed(1)} ms` }, text));
  place.scrollTop = place.scrollHeight;
  timing(root, run, now);
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

function timing(root, run, now) {
  const { times, begun, usage } = run;
  const gaps = times.slice(1).map((time, place) => time - times[place]).sort((a, b) => a - b);
  const rank = (share) => (gaps.length ? gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))] / 1000 : null);
  const spent = (times.at(-1) - times[0]) / 1000;
  show(root.querySelector(".timing"), facts([
    ["First token", times.length ? duration((times[0] - begun) / 1000) : "–"],
    ["Between tokens", `${duration(rank(0.5))}, p95 ${duration(rank(0.95))}`],
    ["Rate", times.length > 1 && spent > 0 ? `${number((times.length - 1) / spent)} tokens/s` : "–"],
    ["Whole", duration((now - begun) / 1000)],
    ["Tokens", usage ? `${usage.prompt_tokens} in, ${usage.completion_tokens} out` : `${times.length} out`],
  ]));
}

async function trace(root, id) {
  const place = root.querySelector(".trace");
  for (let tried = 0; tried < TRIES; tried++) {
    try {
      const found = await read(`trace?id=${encodeURIComponent(id)}`);
      place.replaceChildren(h("article", { class: "card" }, h("h2", null, "Trace ", h("code", null, id)),
        h("p", { class: "note" }, `${duration(found.seconds)} at the gateway, ${duration(found.own_s)} of it its own; ${found.cached_tokens} of ${found.prompt_tokens} prompt tokens were cached.`),
        waterfall(found)));
      return;
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) return;
      await new Promise((done) => { setTimeout(done, BETWEEN_MS); });
    }
  }
}
