// The page: login, one view at a time by the address's fragment, and data every two seconds that survives a gateway's restart.

import { key, read, Refused } from "./api.js";
import { clock, duration } from "./format.js";
import * as audit from "./audit.js";
import * as drift from "./drift.js";
import * as overview from "./overview.js";
import * as playground from "./playground.js";
import * as requests from "./requests.js";
import * as tenants from "./tenants.js";

const VIEWS = { overview, requests, playground, tenants, drift, audit };
const EVERY_MS = 2000, HIDDEN_MS = 15000, AGAIN_MS = 1000;
const $ = (selector) => document.querySelector(selector);
const state = { snapshot: null, history: null, gateway: "", lost: null };
let timer = 0, polling = 0, shown = "";

async function poll() {
  clearTimeout(timer);
  const round = ++polling;
  let pause = document.hidden ? HIDDEN_MS : EVERY_MS;
  try {
    const snapshot = await read(`snapshot?since=${state.history?.number ?? 0}`);
    if (round !== polling) return;
    if (take(snapshot)) pause = 0;
  } catch (error) {
    if (round !== polling) return;
    if (error instanceof Refused && (error.status === 401 || error.status === 403)) return login(error.message);
    state.lost ??= Date.now();
    pause = AGAIN_MS;
  }
  render();
  timer = setTimeout(poll, pause);
}

// Whether another gateway answers than before: then all of its history is wanted.
function take(snapshot) {
  const gateway = snapshot.status.gateway;
  const other = state.gateway !== "" && state.gateway !== gateway;
  if (other) {
    notice(`Gateway ${state.gateway.slice(0, 8)} is gone; this is ${gateway.slice(0, 8)}, started ${duration(snapshot.now - snapshot.started)} ago.`);
    state.history = null;
  } else if (state.lost !== null) {
    notice(`Back after ${duration((Date.now() - state.lost) / 1000)}.`);
  }
  state.lost = null;
  state.gateway = gateway;
  state.snapshot = snapshot;
  if (!other) state.history = joined(state.history, snapshot.history);
  return other;
}

function joined(before, news) {
  if (before === null || news.number < before.number) return news;
  const keep = (old, fresh) => [...old, ...fresh].slice(-news.points);
  const models = {};
  for (const name of new Set([...Object.keys(before.models), ...Object.keys(news.models)])) {
    const series = Object.keys((news.models[name] ?? before.models[name]));
    models[name] = Object.fromEntries(series.map((one) => [one, keep(
      before.models[name]?.[one] ?? before.at.map(() => null), news.models[name]?.[one] ?? news.at.map(() => null))]));
  }
  return { ...news, at: keep(before.at, news.at), models };
}

function render() {
  connection();
  if (state.snapshot === null) return;
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "overview";
  $("nav").hidden = $("#leave").hidden = false;
  $("#login").hidden = true;
  for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name[0].toUpperCase()}${name.slice(1)} · Sluice console`;
  VIEWS[name].render($(`#${name}`), state);
  shown = name;
  about();
}

function connection() {
  const pill = $("#connection");
  const problems = state.snapshot?.status.problems ?? [];
  const [text, tone] = state.lost !== null ? ["reconnecting…", "bad"] : state.snapshot === null ? ["", ""]
    : problems.length ? [problems.join("; "), "warn"] : ["live", "good"];
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${tone}`;
  pill.title = text;
  document.body.classList.toggle("stale", state.lost !== null);
}

function about() {
  const { status, gateways, now, started } = state.snapshot;
  const others = gateways.filter((url) => new URL(url).host !== location.host);
  const text = `Gateway ${status.gateway}, version ${status.version}, up for ${duration(now - started)}. Rates, latencies, requests and drift are this gateway's own.`;
  const links = others.map((url) => Object.assign(document.createElement("a"), { href: `${url}/console`, textContent: new URL(url).host }));
  $("#about").replaceChildren(text, ...(links.length ? [" Others: ", ...links.flatMap((link) => [link, " "])] : []));
}

function notice(text) {
  $("#notice").textContent = `${clock(Date.now() / 1000)}  ${text}`;
  $("#notice").hidden = false;
}

function login(message = "") {
  clearTimeout(timer);
  polling++;
  key.forget();
  Object.assign(state, { snapshot: null, history: null, gateway: "", lost: null });
  for (const view of document.querySelectorAll(".view")) view.hidden = true;
  $("nav").hidden = $("#leave").hidden = true;
  $("#about").replaceChildren();
  $("#notice").hidden = true;
  $("#login").hidden = false;
  $("#login .wrong").textContent = message;
  connection();
  $("#key").focus();
}

$("#login form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("#key").value.trim());
  $("#key").value = "";
  poll();
});
$("#leave").addEventListener("click", () => login());
$("#theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
addEventListener("hashchange", () => {
  render();
  if (shown) $("#main").focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && key.get() !== null) poll(); });

function theme(wanted) {
  document.documentElement.dataset.theme = wanted;
  localStorage.setItem("sluice-theme", wanted);
  render();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const preferred = () => localStorage.getItem("sluice-theme") ?? (dark.matches ? "dark" : "light");
document.documentElement.dataset.theme = preferred();
dark.addEventListener("change", () => { document.documentElement.dataset.theme = preferred(); render(); });
if (key.get() === null) login();
else poll();
