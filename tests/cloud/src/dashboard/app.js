// The dashboard: shows what /v1/feed sends, and calls the two public dialects. No library.
"use strict";

const element = (id) => document.getElementById(id);
const actions = ["reboot", "update", "lock", "unlock"];
const operations = ["end_of_day", "send_logs", "check_update", "open_menu"];
// A link may carry the token behind its #, which is sent to nobody; the address forgets it.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}
let token = sessionStorage.getItem("token");
let selected = null; // id of the terminal that is looked at
let feed = null; // AbortController of the open feed
let reveals = false; // the terminal has just been chosen
let shown = null; // terminal whose configuration is in the form
let filled = null; // that configuration, as it is known to the cloud

function node(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function say(text) {
  element("message").textContent = text;
}

async function call(method, path, body) {
  say("");
  const response = await fetch(path, {
    method,
    headers: { "X-Api-Key": token, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) say(answer.error.message);
  return response.ok ? answer : null;
}

// EventSource cannot send a header, so that the token would be in the URL.
async function* events(path, signal) {
  const response = await fetch(path, { headers: { "X-Api-Key": token }, signal });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function follow() {
  feed?.abort();
  const mine = (feed = new AbortController());
  let wait = 500;
  while (!mine.signal.aborted) {
    try {
      const query = selected ? `?terminal=${encodeURIComponent(selected)}` : "";
      for await (const state of events(`/v1/feed${query}`, mine.signal)) {
        element("connection").textContent = "Live";
        element("main").hidden = false;
        element("sign-in").hidden = true;
        wait = 500;
        show(state);
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      element("connection").textContent = `Not connected: ${error.message}`;
      if (element("main").hidden) element("sign-in").hidden = false;
    }
    await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
    wait = Math.min(wait * 2, 30000);
  }
}

function show(state) {
  const rows = state.terminals.map((terminal) => {
    const button = node("button", undefined, { type: "button", "data-id": terminal.id });
    if (terminal.id === selected) button.setAttribute("aria-current", "true");
    button.append(
      node("span", terminal.displayName ?? terminal.serialNumber),
      node("span", terminal.status.replace("_", " "), { class: `status ${terminal.status}` }),
      node("small", [terminal.model, terminal.softwareVersion].filter(Boolean).join(" · ")),
      node("small", terminal.batteryLevel === null ? "battery unknown" : `${terminal.batteryLevel} %`),
    );
    button.addEventListener("click", () => select(terminal.id));
    const row = node("li");
    row.append(button);
    return row;
  });
  const focused = document.activeElement?.dataset?.id;
  element("fleet").replaceChildren(...rows);
  if (focused) document.querySelector(`#fleet [data-id="${CSS.escape(focused)}"]`)?.focus();
  element("fleet-more").hidden = !state.more;
  element("detail").hidden = !state.selected;
  if (!state.selected) return;
  showDetail(state.selected);
  // On a phone it is below the fleet.
  if (reveals) element("detail").scrollIntoView();
  reveals = false;
}

function showDetail({ terminal, terminalId, report, configuration, operations: list }) {
  element("detail-title").textContent = terminal.displayName ?? terminal.serialNumber;
  showScreen(terminal, report);
  showNow(terminal, list);
  const facts = {
    Status: [terminal.status.replace("_", " "), ...(terminal.needsAttention ?? [])].join(", "),
    Id: `${terminal.id} · ${terminalId}`,
    Model: terminal.model ?? "not seen yet",
    Software: terminal.softwareVersion ?? "not seen yet",
    Battery: terminal.batteryLevel === null ? "unknown" : `${terminal.batteryLevel} %`,
    "Last seen": terminal.lastSeen ? new Date(terminal.lastSeen * 1000).toLocaleString() : "never",
    "Reports waiting": waiting(report),
  };
  element("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [node("dt", name), node("dd", value)]),
  );
  element("operations").replaceChildren(...list.map(operationRow));
  const errors = configuration.errors.map((error) => `${error.path}: ${error.message}`);
  element("configuration-state").textContent =
    `Revision ${configuration.revision}: ${configuration.status}. ${errors.join("; ")}`;
  element("buttons").dataset.terminalId = terminalId;
  if (shown !== terminal.id) {
    shown = terminal.id;
    fill(configuration);
  }
}

const screens = { idle: "Ready", payment: "Payment", busy: "Busy", locked: "Locked", message: "Message", menu: "Menu" };

// As the terminal said it last: an ack that came since is not in it.
function waiting(report) {
  if (!report) return "unknown";
  return report.unacked ? `${report.unacked} at ${clock(report.observed_at)}` : "none";
}

// What the terminal says that its screen shows; nothing is made up.
function showScreen(terminal, report) {
  const shown = report?.screen;
  let [showing, title, text] = [shown?.showing ?? "unknown", "", ""];
  if (terminal.status === "deactivated") title = "Deactivated";
  else if (!report) title = terminal.status === "offline" ? "No link" : "Connecting";
  else if (!shown) title = "The terminal does not tell";
  else [title, text] = [screens[showing] ?? showing, shown.text ?? ""];
  const screen = element("screen");
  if (screen.dataset.showing === showing && screen.textContent === title + text) return;
  screen.dataset.showing = showing;
  screen.replaceChildren(node("small", title), node("span", text));
}

// What runs on the terminal, or has to wait for it.
function showNow(terminal, list) {
  const pending = list.filter((operation) => operation.status === "PENDING");
  const running = pending.find((operation) => operation.started);
  const now = element("now");
  now.replaceChildren();
  if (running) {
    const { phase, percent } = running.progress ?? { phase: "runs", percent: null };
    const bar = node("progress", undefined, { max: 100, "aria-label": words(running.operation) });
    if (percent !== null && percent !== undefined) bar.value = percent;
    const share = percent === null || percent === undefined ? "" : ` ${percent} %`;
    now.append(node("strong", words(running.operation)), ` ${phase}${share}`, bar);
  } else if (pending.length) {
    const offline = terminal.status === "offline";
    const names = pending.map((operation) => words(operation.operation)).reverse().join(", ");
    now.append(offline ? `Waits until the terminal is back: ${names}` : `Waits: ${names}`);
  } else {
    now.append("Nothing runs.");
  }
}

function clock(time) {
  return new Date(time).toLocaleTimeString([], { hourCycle: "h23" });
}

function words(name) {
  return name.replaceAll("_", " ");
}

function operationRow(operation) {
  const row = node("li");
  const at = clock(operation.created_at);
  const what = node("span", words(operation.operation), { class: "what" });
  const begun = operation.origin === "local" ? `begun there by ${operation.created_by}` : undefined;
  const state = operation.status === "PENDING" ? (operation.started ? "runs" : "waits") : operation.status;
  row.append(
    node("time", at),
    what,
    node("span", state.toLowerCase(), { class: `status ${operation.status}` }),
  );
  const { code, failure_reason: reason } = operation.error ?? {};
  if (begun) row.append(node("small", begun));
  if (code) row.append(node("small", `${code}: ${reason}`));
  // What became known after the TIMEOUT.
  const late = operation.late_result;
  const why = late?.error ? `, ${late.error.code}: ${late.error.failure_reason}` : "";
  if (late) row.append(node("small", `late: ${late.status.toLowerCase()}${why}`));
  return row;
}

function select(id) {
  selected = id;
  reveals = true;
  follow();
}

// Fields of the form, by group and name of the setting; the channels are boxes.
const settings = {
  display: ["idleMessage"],
  tip: ["mode", "suggestions", "allowCustom"],
  receipt: ["requireConsent"],
  offlineMode: ["enabled", "maxAmount", "maxQueue", "currency"],
};

// The terminal's own settings are values; what its location says stands behind what is empty.
function fill({ overrides: own, locationConfig: inherited }) {
  const form = element("configure");
  for (const [group, names] of Object.entries(settings)) {
    for (const name of names) {
      const field = form[name];
      const below = shownAs(inherited[group]?.[name]);
      field.value = shownAs(own[group]?.[name]);
      if (field.tagName === "SELECT") field.options[0].textContent = asInherited(below);
      else field.placeholder = below;
    }
  }
  for (const box of form.querySelectorAll("[name=channel]")) {
    box.checked = (own.receipt?.channels ?? []).includes(box.value);
  }
  element("channels").textContent = `None: ${asInherited(shownAs(inherited.receipt?.channels))}`;
  filled = settingsOf(form);
}

function asInherited(below) {
  return below ? `as inherited (${below})` : "as inherited";
}

function shownAs(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
}

// What the form says; null where it says nothing.
function settingsOf(form) {
  const read = (names) => Object.fromEntries(names.map((name) => [name, valueOf(form[name])]));
  const said = Object.fromEntries(Object.entries(settings).map(([group, names]) => [group, read(names)]));
  const channels = [...form.querySelectorAll("[name=channel]:checked")].map((box) => box.value);
  said.receipt.channels = channels.length ? channels : null;
  return said;
}

function valueOf(field) {
  if (field.value === "") return null;
  if (field.type === "number") return Number(field.value);
  if (field.name === "suggestions") return field.value.split(",").filter((text) => text.trim()).map(Number);
  if (field.tagName === "SELECT" && field.name !== "mode") return field.value === "yes";
  return field.value;
}

// The settings that differ; null gives back what is inherited.
function changes(before, after) {
  const found = {};
  for (const [group, fields] of Object.entries(after)) {
    for (const [name, value] of Object.entries(fields)) {
      if (JSON.stringify(value) === JSON.stringify(before[group][name])) continue;
      found[group] = { ...found[group], [name]: value };
    }
  }
  return found;
}

element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = event.target.token.value.trim();
  sessionStorage.setItem("token", token);
  follow();
});

element("activate").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const body = { activationCode: form.code.value.trim() };
  const terminal = await call("POST", "/v1/terminals/activate", body);
  if (terminal) {
    form.reset();
    select(terminal.id);
  }
});

element("configure").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = shown;
  const wanted = settingsOf(event.target);
  const changed = changes(filled, wanted);
  if (!Object.keys(changed).length) return say("Nothing has been changed.");
  const taken = await call("POST", `/v1/terminals/${id}/configure`, changed);
  if (taken && shown === id) filled = wanted;
});

for (const name of [...actions, ...operations]) {
  const button = node("button", name.replaceAll("_", " "), { type: "button" });
  button.addEventListener("click", () => {
    if (actions.includes(name)) {
      call("POST", `/v1/terminals/${selected}/actions`, { action: name });
    } else {
      const { terminalId } = element("buttons").dataset;
      call("POST", "/v1/admin/terminals/operations", { terminal_id: terminalId, operation: name });
    }
  });
  element("buttons").append(button);
}

if (token) follow();
