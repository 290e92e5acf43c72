"use strict";
/* What an operator can do: dialogs, commands and how far they have come, signing in. */

let attempt = {}; // what was sent and not answered: sent again with its key, it is done once

function permitted() {
  if (!who.needs_token || who.operator) return true;
  signIn();
  return false;
}
function ask(name, target, partition) {
  action = name;
  const words = ACTIONS[name];
  const scope = $("scope").value;
  text($("dialog-title"), words.title);
  text($("dialog-about"), words.about);
  const members = state.members.filter((m) => words.slot ? ["champion", "challenger"].includes(m.role) : m.role === "challenger" || (name === "promote" && m.role === "previous"));
  $("target-row").hidden = !(words.target || words.slot || words.kept) || name === "approve";
  $("where").value = partition === undefined ? scope : partition;
  $("where").disabled = partition !== undefined;
  if (words.kept) offerKept();
  else {
    const choices = name === "approve" ? [new Option(target)] : name === "apply" ? state.policies.map((p) => new Option(p))
      : members.map((m) => new Option(`${m.slot}${m.version ? ` ${m.version}` : ""} · error ${percent(m.error)}`, m.slot));
    $("target").replaceChildren(...choices);
  }
  text($("target-label"), name === "apply" ? "Policy" : words.kept ? "To" : "Member");
  if (target) $("target").value = target;
  $("operator-row").hidden = who.needs_token;
  $("override").checked = false;
  text($("refusal"), "");
  words_();
  $("dialog").showModal();
  ($("target-row").hidden ? $("where") : $("target")).focus();
}
/* What a rollback may name where it is asked for: in several partitions only numbers that all of them keep. */
function offerKept() {
  const place = $("where").value, chosen = $("target").value;
  const rows = state.kept.filter((k) => place === "all" || k.partition === Number(place));
  const partitions = new Set(place === "all" ? state.partitions.map((p) => p.number) : [Number(place)]);
  let options = rows.map((k) => new Option(`${k.name}, as kept ${stamp(k.since)}`, k.name)).reverse();
  if (partitions.size > 1) {
    const numbers = new Map();
    for (const k of rows) numbers.set(short(k.name), (numbers.get(short(k.name)) || new Set()).add(k.partition));
    options = [...numbers].filter(([, where]) => where.size === partitions.size).map(([n]) => new Option(`${n}, as kept last in each partition`, n)).reverse();
  }
  if (state.members.some((m) => m.role === "previous")) options.unshift(new Option("The previous champion, as it is now", ""));
  $("target").replaceChildren(...options);
  if (options.some((o) => o.value === chosen)) $("target").value = chosen;
}
function words_() {
  const words = ACTIONS[action], where = $("where").value;
  const whom = words.kept ? ($("target").value ? ` to ${$("target").value}` : "") : words.target || words.slot ? ` ${$("target").value}` : "";
  const place = where === "all" ? (state.expected > 1 ? " everywhere" : "") : ` in partition ${where}`;
  text($("confirm"), `${words.verb}${whom}${place}`);
  const question = state.question;
  const unmet = action === "promote" && question && question.slot === $("target").value ? question.conditions.filter((c) => !c.met) : [];
  $("override-row").hidden = !unmet.length;
  text($("override-text"), `The policy would not promote it yet: ${unmet.map((c) => `${c.name.toLowerCase()} ${number(c.value)}, needs ${number(c.need)}`).join("; ")}. Promote against the policy.`);
}
$("target").addEventListener("change", words_);
$("where").addEventListener("change", () => {
  if (ACTIONS[action].kept) offerKept();
  words_();
});
for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => permitted() && ask(button.dataset.action));
}
$("cancel").addEventListener("click", () => $("dialog").close());
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = ACTIONS[action], where = $("where").value;
  const body = { action, reason: $("reason").value.trim() };
  if (words.target || words.slot || (words.kept && $("target").value)) body.target = $("target").value;
  if (where !== "all") body.partition = Number(where);
  if (!who.needs_token && $("operator").value.trim()) body.operator = $("operator").value.trim();
  if ($("override").checked) body.override = true;
  $("confirm").disabled = true;
  const asked = JSON.stringify(body);
  if (where === $("scope").value) body.if_revision = state.revision;
  if (attempt.asked !== asked) attempt = { asked, body, key: crypto.randomUUID?.() ?? String(Math.random()) };
  try {
    const answer = await fetch(`${API}/actions`, { method: "POST", headers: { "Content-Type": "application/json", "Idempotency-Key": attempt.key }, body: JSON.stringify(attempt.body) });
    const said = await answer.json();
    attempt = {};
    if (!answer.ok) { refuse(said); return; }
    localStorage.setItem("operator", $("operator").value.trim());
    $("reason").value = "";
    $("dialog").close();
    follow(said, $("confirm").textContent);
  } catch {
    text($("refusal"), "The server does not answer: it may have been done or not. Confirm again, and it is done once.");
  } finally {
    $("confirm").disabled = false;
  }
});
function refuse(problem) {
  text($("refusal"), problem.title + (problem.unmet ? ` Not met: ${problem.unmet.join(", ").toLowerCase()}.` : ""));
  if (problem.type === "policy_not_met") {
    $("override-row").hidden = false;
    if (!$("override-text").textContent) text($("override-text"), "Promote against the policy.");
  }
  ({ reason: $("reason"), target: $("target"), partition: $("where") })[problem.field]?.focus();
  if (problem.status === 401) { $("dialog").close(); signIn(); }
}
async function follow(said, what) {
  const mine = ++following, until = Date.now() + 60000;
  const tell = (kind, words) => { $("progress").dataset.kind = kind; text($("progress"), words); };
  while (mine === following && Date.now() < until) {
    if (said.status === "applied") return tell("good", `${what}: done in ${said.total === 1 ? "the only partition" : `all ${said.total} partitions`}.`);
    if (said.status !== "accepted") return tell("bad", `${what}: ${said.applied} of ${said.total} partitions. ${[...new Set(Object.values(said.rejected))].join(" ")}`);
    tell("", `${what}: ${said.applied} of ${said.total} partitions so far…`);
    await new Promise((done) => setTimeout(done, 400));
    try {
      const answer = await fetch(`${API}/actions/${said.id}`);
      if (answer.ok) said = await answer.json();
    } catch { /* the server restarts: the transitions will tell */ }
  }
  if (mine === following) tell("bad", `${what}: ${said.applied} of ${said.total} partitions within a minute. Is a worker missing? It expires after five minutes.`);
}

/* -- signing in ---------------------------------------------------------------------------------- */

function signIn() {
  text($("sign-refusal"), "");
  $("token").value = "";
  $("sign-dialog").showModal();
}
function showWho() {
  $("sign").hidden = !who.needs_token;
  text($("sign"), who.operator ? `${who.operator}: sign out` : "Sign in");
}
$("sign").addEventListener("click", async () => {
  if (!who.operator) { signIn(); return; }
  await fetch(`${API}/session`, { method: "DELETE" });
  await whoAmI();
});
$("sign-cancel").addEventListener("click", () => $("sign-dialog").close());
$("sign-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  let answer, said;
  try {
    answer = await fetch(`${API}/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: $("token").value }) });
    said = await answer.json();
  } catch {
    text($("sign-refusal"), "The server does not answer. Try again.");
    return;
  }
  if (!answer.ok) { text($("sign-refusal"), said.title); return; }
  $("sign-dialog").close();
  who = said;
  showWho();
});
async function whoAmI() {
  try { who = await (await fetch(`${API}/whoami`)).json(); } catch { /* asked again on the next load */ }
  showWho();
}
