"use strict";
/* The operations page: a projection of /api/v1/state, kept by an event stream. It uses nothing but the API. */

const $ = (id) => document.getElementById(id);
const API = "../api/v1";
const KINDS = {
  started: "Started", warmed_up: "Warmed up", signal: "Drift", signal_ended: "Signal ended", challenged: "Challenger started", retrained: "Retrain started",
  promoted: "Promoted", dropped: "Dropped", fell_back: "Fell back", resumed: "Resumed", failed: "Failed", rolled_back: "Rolled back", frozen: "Frozen",
  unfrozen: "Unfrozen", rejected: "Command rejected", admitted: "Admitted", updated: "Update started", advised: "Waits for approval", applied: "Policy followed",
  kept: "Kept after its check", undone: "Undone after its check", forgotten: "Forgotten",
  redefined: "Definition changed", benched: "Benched", returned: "Back from the bench", installed: "Installed", archived: "State kept",
};
const SIGNALS = { concept: "Concept drift", data: "Data drift", prediction: "Prediction drift", label_silence: "Labels fell silent", producer: "Producer fault" };
const ROLES = { champion: "champion", challenger: "challenger", previous: "previous", fallback: "rule" };
const SERVING = { champion: "Champion", fallback: "Rules", warm_up: "Rules (warm-up)", nobody: "Nobody" };
const TASKS = { binary: "Binary classification", multiclass: "Multiclass classification", regression: "Regression" };
const ACTIONS = {
  promote: { title: "Promote a challenger", about: "It becomes champion and serves from the next event. The present champion is kept as the previous one.", verb: "Promote", target: true },
  drop: { title: "Drop a challenger", about: "It leaves the roster. It cannot be brought back; a fresh one can be started.", verb: "Drop", target: true },
  rollback: { title: "Roll back", about: "An earlier champion serves again from the next event: the previous one as it is now, or a state that was kept.", verb: "Roll back", kept: true },
  resume: { title: "Resume the champion", about: "The champion answers again from the next event.", verb: "Resume the champion" },
  fallback: { title: "Fall back to rules", about: "From the next event only rules answer, until somebody resumes the champion.", verb: "Fall back" },
  freeze: { title: "Freeze learning", about: "Nothing learns and no decision is made. Answers and scores go on.", verb: "Freeze" },
  unfreeze: { title: "Unfreeze learning", about: "Learning goes on with the next label.", verb: "Unfreeze" },
  retrain: { title: "Retrain", about: "A fresh version of the recipe starts in shadow, and takes over once it has proved better.", verb: "Retrain", slot: true },
  approve: { title: "Approve advice", about: "What was decided is done now, with your name on it.", verb: "Approve", target: true },
  apply: { title: "Apply a policy", about: "What the definition says for this is done now.", verb: "Apply", target: true },
};

let state = null, points = [], source = null, who = { operator: null, needs_token: false }, action = null, following = 0, newest = null;
const chart = new Chart($("chart"));

/* -- words and numbers ------------------------------------------------------------------------ */

const percent = (v) => v === null || v === undefined ? "–" : `${(100 * v).toFixed(1)}%`;
const count = (v) => v === null || v === undefined ? "–" : Math.round(v).toLocaleString("en");
const rate = (v) => v < 10 ? v.toFixed(1) : count(v);
const stamp = (ms) => new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const short = (version) => version ? version.split("/").pop().split("@")[0] : "";
function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 90) return `${+seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
function bytes(n) {
  if (n === null || n === undefined) return "–";
  return n < 1e3 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}
function number(v) {
  if (v === null || v === undefined) return "unknown";
  return Math.abs(v) >= 1e6 || (v !== 0 && Math.abs(v) < 0.01) ? v.toExponential(1) : (+v.toFixed(v < 100 ? 1 : 0)).toLocaleString("en");
}

/* -- changing the document in place: focus and selection survive ------------------------------- */

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}
function make(tag, className, value) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (value !== undefined) element.textContent = value;
  return element;
}
function keyed(parent, items, keyOf, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = known.get(key);
    known.delete(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    if (element !== at) parent.insertBefore(element, at);
    else at = at.nextElementSibling;
    update(element, item);
  }
  for (const gone of known.values()) gone.remove();
}
function row(columns) {
  const tr = make("tr");
  for (const className of columns) tr.append(make("td", className));
  return tr;
}
function cells(tr, values) {
  values.forEach((value, i) => { if (value !== null) text(tr.cells[i], value); });
}

/* -- the parts ----------------------------------------------------------------------------------- */

function show(view) {
  state = view;
  document.title = `${view.deployment} · ${view.sentence}`;
  text($("deployment"), view.deployment);
  text($("task"), `${TASKS[view.task]} · error of late, over some 500 labels`);
  text($("sentence"), view.sentence);
  text($("why"), view.why);
  $("lamp").dataset.serving = view.serving;
  text($("clock"), `As of ${clock(view.at)} · revision ${view.revision}`);
  showScopes(view);
  showActions(view);
  showFigures(view.figures);
  showQuestion(view);
  showAdvice(view.advice);
  showSignals(view);
  showEstimate(view);
  showHappenings(view.happenings);
  showDead(view);
  showPartitions(view.partitions);
  showMembers(view.members);
  const last = points.at(-1);
  if (!last || view.point.at - last.at >= 1900) {
    points.push(view.point);
    if (points.length > 900) points.shift();
  }
  showCurves(view);
}

function showScopes(view) {
  const numbers = view.scope === "all" ? view.partitions.map((p) => p.number) : null;
  if (!numbers) return;
  for (const select of [$("scope"), $("where")]) {
    if (select.options.length === numbers.length + 1) continue;
    const chosen = select.value;
    select.replaceChildren(new Option(numbers.length === 1 ? "The only partition" : `All ${numbers.length} partitions`, "all"), ...numbers.map((n) => new Option(`Partition ${n}`, n)));
    select.value = chosen || "all";
  }
}

function showActions(view) {
  const roles = new Set(view.members.map((m) => m.role));
  const all = view.partitions.length;
  const possible = {
    promote: roles.has("challenger") || roles.has("previous"), rollback: roles.has("previous") || view.kept.length > 0, resume: view.fallback > 0,
    fallback: view.partitions.some((p) => !(p.serving === "fallback" && p.held)), freeze: view.frozen < all, unfreeze: view.frozen > 0, retrain: roles.has("champion"), apply: view.policies.length > 0,
  };
  document.querySelector("[data-action=apply]").hidden = !view.policies.length;
  for (const button of document.querySelectorAll("[data-action]")) button.disabled = !possible[button.dataset.action];
}

function showFigures(f) {
  const better = f.error_served !== null && f.error_rules !== null ? 100 * (f.error_rules - f.error_served) : null;
  const figures = [
    ["error", "Error served", percent(f.error_served), f.error_served === null ? "no labels yet" : better === null ? "no rule answers all" : `${Math.abs(better).toFixed(1)} pts ${better >= 0 ? "better" : "worse"} than the best rule`, better !== null && better < -2],
    ["events", "Events per second", rate(f.events_per_second), `${rate(f.labels_per_second)} labels/s`, false],
    ["latency", "Latency, 99th", span(f.latency_99), `median ${span(f.latency_median)}`, f.latency_99 > 0.25],
    ["lag", "Lag", count(f.lag_records), f.lag_partition === null ? "nothing waits" : `worst ${span(f.lag_seconds)}, partition ${f.lag_partition}`, f.lag_seconds > 5],
    ["delay", "Label delay", span(f.delay_median), f.delay_95 === null ? "labels come with events" : `95th ${span(f.delay_95)}`, false],
    ["pending", "Waiting for a label", count(f.pending), `${(100 * f.pending_share).toFixed(0)}% of the limit`, f.pending_share > 0.8],
    ["dead", "Dead letters", rate(f.dead_letters_per_minute), f.unaccounted ? `per minute; ${f.unaccounted} unaccounted` : "per minute", f.unaccounted > 0],
  ];
  keyed($("figures"), figures, (x) => x[0], () => {
    const box = make("div", "figure");
    box.append(make("dt"), make("dd", "value"), make("dd", "note"));
    return box;
  }, (box, [key, name, value, note, alarm]) => {
    box.id = `figure-${key}`;
    box.dataset.alarm = alarm;
    [name, value, note].forEach((v, i) => text(box.children[i], v));
  });
}

function showQuestion(view) {
  const question = view.question;
  text($("question-title"), question ? question.title : "Why no challenger is promoted");
  const where = question && view.partitions.length > 1 ? ` Partition ${question.partition}.` : "";
  text($("question-about"), question ? question.about + where : "There is no challenger. One starts when drift is signalled, or with Retrain.");
  keyed($("conditions"), question ? question.conditions : [], (c) => c.name, () => {
    const li = make("li");
    li.append(make("span", "mark"), make("span", "what"), make("span", "of"));
    return li;
  }, (li, c) => {
    const yesNo = c.need === 1 && (c.value === 0 || c.value === 1);
    li.classList.toggle("met", c.met);
    text(li.children[0], c.met ? "✓" : "…");
    text(li.children[1], c.name);
    text(li.children[2], yesNo ? (c.met ? "yes" : "no") : `${number(c.value)}, needs ${number(c.need)}`);
    let bar = li.querySelector("progress");
    if (!yesNo && !bar) {
      bar = make("progress");
      bar.max = 1;
      bar.setAttribute("aria-label", c.name);
      li.append(bar);
    }
    if (bar) bar.value = c.met ? 1 : progressOf(c);
  });
}
function progressOf(c) {
  if (c.value === null || c.value <= 0) return 0;
  // evidence multiplies: its logarithm is what grows evenly
  return c.name.startsWith("Evidence") ? Math.max(0, Math.min(1, Math.log(c.value) / Math.log(c.need))) : Math.min(1, c.value / c.need);
}

function showAdvice(rows) {
  $("advice-card").hidden = !rows.length;
  keyed($("advice").tBodies[0], rows, (a) => `${a.partition} ${a.id}`, (a) => {
    const tr = row(["", "", "", ""]), button = make("button", "plain", "Approve…");
    tr.cells[1].append(make("div"), make("div", "reason"));
    button.type = "button";
    button.setAttribute("aria-label", `Approve ${a.id} of partition ${a.partition}`);
    button.addEventListener("click", () => permitted() && ask("approve", a.id, a.partition));
    tr.cells[3].append(button);
    return tr;
  }, (tr, a) => {
    text(tr.cells[0], a.id);
    text(tr.cells[1].children[0], (KINDS[a.would] || a.would) + (a.slot ? ` · ${a.slot}${a.version ? ` ${a.version}` : ""}` : ""));
    text(tr.cells[1].children[1], a.reason);
    text(tr.cells[2], String(a.partition));
  });
}

function where(partitions) {
  if (state.scope === "all" && partitions.length === state.partitions.length) return "all";
  return partitions.length > 3 ? `${partitions.length} partitions` : partitions.join(", ");
}

function showSignals(view) {
  text($("signals-count"), view.signals.length ? "as far back as the transitions shown" : "");
  $("signals-box").hidden = !view.signals.length;
  $("signals-none").hidden = view.signals.length > 0;
  keyed($("signals").tBodies[0], view.signals, (s) => `${s.kind} ${s.feature}`, () => row(["", "", "number", "", "", ""]), (tr, s) =>
    cells(tr, [SIGNALS[s.kind] || s.kind, s.feature || "–", count(s.count), clock(s.at) + (s.over ? ", over" : ""), s.about, where(s.partitions)]));
}

function showEstimate(view) {
  const e = view.estimate, facts = [];
  facts.push(["error", `Error expected of the last ${count(e.answers)} answers`, percent(e.error)]);
  if (e.absolute !== null) facts.push(["absolute", "The same as absolute error", number(e.absolute)]);
  facts.push(["served", "Error of those whose label came", percent(view.figures.error_served)]);
  facts.push(["deviation", "It was off by, over some 500 labels", e.deviation === null ? "–" : `${e.deviation < 0 ? "−" : "+"}${Math.abs(100 * e.deviation).toFixed(1)} pts`]);
  facts.push(["immature", "Answers without a label yet", count(e.immature) + (e.oldest ? `, up to ${span(e.oldest)}` : "")]);
  facts.push(["coverage", "Got a label, of those that wait no longer", percent(e.coverage)]);
  for (const [partition, i] of Object.entries(e.intervals)) {
    const place = view.partitions.length > 1 ? `, partition ${partition}` : "";
    facts.push([`interval${partition}`, `Intervals for ${percent(i.coverage)}${place}`, `± ${number(i.half)}, held ${percent(i.held)}`]);
  }
  keyed($("estimate"), facts, (f) => f[0], (f) => {
    const box = make("div");
    box.id = `estimate-${f[0]}`;
    box.append(make("dt"), make("dd"));
    return box;
  }, (box, [, name, value]) => { text(box.children[0], name); text(box.children[1], value); });
  text($("estimate-blind"), e.blind);
}

function showHappenings(happenings) {
  keyed($("happenings").tBodies[0], happenings, (h) => h.number, () => {
    const tr = row(["", "", "", "", ""]);
    tr.cells[0].append(make("span", "badge"));
    tr.cells[2].append(make("div"), make("div", "reason"));
    return tr;
  }, (tr, h) => {
    const badge = tr.cells[0].firstChild;
    text(badge, String(h.number));
    badge.dataset.tone = MARKS[h.kind] || "";
    text(tr.cells[1], clock(h.at));
    const title = h.signal ? SIGNALS[h.signal] || h.signal : KINDS[h.kind] || h.kind;
    text(tr.cells[2].children[0], title + (h.feature ? ` · ${h.feature}` : h.slot ? ` · ${h.slot}` : ""));
    text(tr.cells[2].children[1], h.reason + (h.detail ? ` ${h.detail}` : "") + (h.operator ? ` (${h.operator})` : ""));
    text(tr.cells[3], [short(h.before), short(h.after)].filter(Boolean).filter((v, i, a) => a.indexOf(v) === i).join(" to "));
    text(tr.cells[4], where(h.partitions));
  });
  const last = happenings[0];
  if (last && newest !== null && last.at > newest) text($("news"), `${KINDS[last.kind] || last.kind}. ${last.reason}`);
  newest = last ? last.at : 0;
}

function showDead(view) {
  const entries = Object.entries(view.dead_letters), most = entries.length ? entries[0][1] : 1;
  text($("dead-count"), view.figures.dead_letters ? `${count(view.figures.dead_letters)} in all` : "");
  $("dead").hidden = !entries.length;
  $("dead-none").hidden = entries.length > 0;
  keyed($("dead").tBodies[0], entries, (e) => e[0], () => {
    const tr = row(["", "", "number"]), bar = make("progress");
    bar.setAttribute("aria-label", "Share of the most frequent reason");
    tr.cells[1].append(bar);
    return tr;
  }, (tr, [reason, n]) => {
    cells(tr, [reason.replaceAll("_", " "), null, count(n)]);
    const bar = tr.cells[1].firstChild;
    bar.max = most;
    bar.value = n;
  });
}

function showPartitions(rows) {
  const workers = new Set(rows.map((p) => p.worker).filter(Boolean));
  text($("workers"), `${workers.size} worker${workers.size === 1 ? "" : "s"}`);
  keyed($("partitions").tBodies[0], rows, (p) => p.number, () => {
    const tr = row(["", "", "number", "number", "number", "number", "number", ""]);
    tr.cells[1].append(make("span", "role"));
    return tr;
  }, (tr, p) => {
    const role = tr.cells[1].firstChild;
    role.dataset.role = p.serving;
    text(role, (SERVING[p.serving] || p.serving) + (p.held ? ", held" : "") + (p.frozen ? ", frozen" : ""));
    cells(tr, [String(p.number), null, percent(p.error), count(p.lag_records), rate(p.events_per_second), count(p.pending), p.snapshot_age === null ? "never" : `${span(p.snapshot_age)}`, p.worker || "nobody"]);
    tr.cells[6].classList.toggle("alarm", p.snapshot_age === null || p.snapshot_age > 60);
    tr.cells[7].classList.toggle("alarm", !p.worker);
  });
}

function showMembers(rows) {
  text($("members-count"), `${rows.length} member${rows.length === 1 ? "" : "s"}`);
  keyed($("members").tBodies[0], rows, (m) => `${m.role} ${m.slot}`, (m) => {
    const tr = row(["", "", "number", "number", "number", "number", "number", "number", "made", ""]);
    tr.cells[1].append(make("span", "role"));
    if (m.role === "challenger") {
      const button = make("button", "plain", "Drop…");
      button.type = "button";
      button.setAttribute("aria-label", `Drop ${m.slot}`);
      button.addEventListener("click", () => permitted() && ask("drop", m.slot));
      tr.cells[9].append(button);
    }
    return tr;
  }, (tr, m) => {
    const role = tr.cells[1].firstChild;
    role.dataset.role = m.role;
    text(role, ROLES[m.role] || m.role);
    cells(tr, [m.version ? `${m.slot} ${m.version}` : m.slot, null, percent(m.error), count(m.scored), m.weight === null ? "–" : percent(m.weight), m.evidence === null ? "–" : number(m.evidence), m.cost === null ? "–" : number(1e6 * m.cost), bytes(m.size), m.recipe, null]);
    tr.cells[8].title = m.recipe;
  });
}

function showCurves(view) {
  const marks = view.happenings.filter((h) => !["started", "rejected", "signal_ended"].includes(h.kind)).reverse();
  chart.set(points, marks);
  const lines = chart.lines();
  keyed($("legend"), lines, (line) => line.key, (line) => {
    const li = make("li"), swatch = make("span", "swatch");
    swatch.dataset.line = line.key;
    li.append(swatch, make("span"), make("b"));
    return li;
  }, (li, line) => {
    text(li.children[1], line.name);
    text(li.children[2], percent(line.of(points.at(-1))));
  });
  if (!$("curves").open) return;
  const head = $("curves-table").tHead;
  keyed(head, [lines.map((l) => l.name).join()], (x) => x, () => {
    const tr = make("tr");
    for (const name of ["Time", ...lines.map((l) => l.name)]) {
      const th = make("th", name === "Time" ? "" : "number", name);
      th.scope = "col";
      tr.append(th);
    }
    return tr;
  }, () => {});
  const step = Math.max(1, Math.floor(points.length / 30));
  keyed($("curves-table").tBodies[0], points.filter((_, i) => (points.length - 1 - i) % step === 0).reverse(), (p) => p.at + lines.length * 1e-3, () =>
    row(["", ...lines.map(() => "number")]), (tr, p) => cells(tr, [clock(p.at), ...lines.map((l) => percent(l.of(p)))]));
}

/* -- the stream ---------------------------------------------------------------------------------- */

function live(kind, words) {
  $("live").dataset.state = kind;
  text($("live-text"), words);
}
async function connect() {
  source?.close();
  const scope = $("scope").value;
  try {
    const answer = await fetch(`${API}/history?partition=${scope}`);
    if (answer.ok) points = (await answer.json()).points;
  } catch { /* the stream says what is wrong */ }
  source = new EventSource(`${API}/stream?partition=${scope}`);
  let lost = false;
  source.addEventListener("state", (event) => {
    if (lost) { connect(); return; }  // something was missed: fetch the history again
    live("live", "Live");
    show(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    lost = true;
    live("lost", "Connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); live("connecting", "Paused"); } else connect();
});
$("scope").addEventListener("change", () => { newest = null; connect(); });
$("curves").addEventListener("toggle", () => state && showCurves(state));

/* -- theme --------------------------------------------------------------------------------------- */

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  text($("theme"), `Theme: ${theme}`);
  if (chart.plot) chart.rebuild();
}
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(localStorage.getItem("theme") || "auto") + 1) % 3];
  localStorage.setItem("theme", next);
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.plot && chart.rebuild());

document.addEventListener("DOMContentLoaded", () => {
  setTheme(localStorage.getItem("theme") || "auto");
  $("operator").value = localStorage.getItem("operator") || "";
  whoAmI();
  connect();
});
