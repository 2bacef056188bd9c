/* The job's form: only what the kind needs, and the next runs while the schedule is typed. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const box = document.getElementById("schedule-preview");
  const form = document.getElementById("job_form");
  if (!box || !form) return;
  const OF = { cron: ["cron_expression"], recurring: ["recurrence_pattern", "scheduled_at"], one_time: ["scheduled_at"] };
  const WHEN = ["schedule_type", "cron_expression", "recurrence_pattern", "scheduled_at_0", "scheduled_at_1", "timezone",
    "start_at_0", "start_at_1", "end_at_0", "end_at_1", "calendar", "business_day_shift"];
  const field = (name) => form.elements.namedItem(name);
  const value = (name) => { const found = field(name); return found && "value" in found ? found.value : ""; };
  const row = (name) => form.querySelector(".field-" + name);
  const kind = () => box.dataset.kind || value("schedule_type") || "cron";

  function show() {
    const wanted = OF[kind()] || [];
    ["cron_expression", "recurrence_pattern", "scheduled_at"].forEach((name) => {
      const found = row(name);
      if (found) found.hidden = !wanted.includes(name);
    });
    const http = form.querySelector("fieldset.of-http");
    if (http) http.hidden = !["", "http"].includes(value("handler"));
  }

  let timer = 0;
  let asked = 0;
  let before = "";
  async function preview() {
    const body = new FormData();
    body.append("csrfmiddlewaretoken", value("csrfmiddlewaretoken"));
    body.append("job", box.dataset.job);
    WHEN.forEach((name) => body.append(name, value(name)));
    const number = ++asked;
    try {
      const answer = await fetch(box.dataset.url, { method: "POST", body, redirect: "error" });
      const found = await answer.json();
      if (number === asked) { box.innerHTML = found.html; box.dataset.shown = String(number); }
    } catch (error) {
      if (number === asked) box.textContent = "The server does not answer; the preview comes back with the next change.";
    }
  }
  function plan() {
    show();
    const now = WHEN.map(value).join("\n");
    if (now === before) return;
    before = now;
    clearTimeout(timer);
    timer = setTimeout(preview, 250);
  }
  before = WHEN.map(value).join("\n");
  show();
  ["input", "change", "focusout", "click"].forEach((name) => form.addEventListener(name, () => setTimeout(plan, 0)));
  if (!box.dataset.job && (value("cron_expression") || kind() !== "cron")) { before = ""; plan(); }
});
