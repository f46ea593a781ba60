"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const digests = {};
  let revision = null, polling = false, waiting = [], busy = false;

  // Gradio's API: a call gives an event, whose stream ends with the answer.
  async function call(name, request) {
    const begun = await fetch(`/gradio_api/call/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data: [request] }),
    });
    if (!begun.ok) throw new Error(begun.status === 403 ? "This page's link is of another start of the studio: open the link that the terminal shows." : "The studio refuses it.");
    const { event_id: event } = await begun.json();
    const text = await (await fetch(`/gradio_api/call/${name}/${event}`)).text();
    const lines = text.trim().split("\n").filter((line) => line.startsWith("data: "));
    const answer = JSON.parse(lines[lines.length - 1].slice(6));
    if (!Array.isArray(answer)) throw new Error("The studio failed at this; the terminal that it was started in says where.");
    return answer[0];
  }

  function say(text, good = false) {
    const notice = one("#notice");
    one("span", notice).textContent = text; notice.hidden = !text; notice.classList.toggle("good", good);
  }

  function show(answer) {
    for (const [name, part] of Object.entries(answer.regions || {})) {
      const place = one(`[data-region="${name}"]`), focus = document.activeElement && document.activeElement.id;
      const open = all("details[open]", place).map((each) => each.id).filter(Boolean);
      place.innerHTML = part.html; digests[name] = part.digest;
      if (focus && place.contains(document.getElementById(focus))) document.getElementById(focus).focus();
      for (const id of open) { const each = document.getElementById(id); if (each) each.open = true; }
      if (name === "words") select();
    }
    if (answer.state) {
      revision = answer.state.revision;
      for (const name of ["prompt", "seed", "steps", "guidance_scale", "concept"]) {
        const field = document.getElementById(name);
        if (document.activeElement !== field) field.value = answer.state[name];
      }
      for (const each of all("[data-on]")) each.setAttribute("aria-pressed", String(each.dataset.on === answer.state.on));
    }
    job(answer.job);
    if (answer.error) say(answer.error); else if (answer.notice) say(answer.notice, true);
  }

  function job(current) {
    const bar = one("#job");
    bar.hidden = !current;
    for (const each of all("[data-work]")) each.disabled = Boolean(current);
    if (current) {
      one("#job-name").textContent = current.title;
      one("#job-progress").value = current.total ? current.done / current.total : 0;
      one("#job-rows").textContent = `${current.done.toLocaleString("en")} of about ${current.total.toLocaleString("en")} rows`;
      follow();
    }
  }

  async function follow() {
    if (polling) return;
    polling = true;
    try {
      for (let idle = 0; idle < 2;) {
        await new Promise((wake) => setTimeout(wake, 300));
        const answer = await call("look", { digests });
        show(answer);
        idle = answer.job ? 0 : idle + 1;
      }
    } catch (error) { say(error.message); } finally { polling = false; }
  }

  // One request at a time, in their order; of several that set the same thing the last one counts.
  const target = ({ do: name, layer, fields }) => ["change", "scale"].includes(name) && JSON.stringify([name, layer, Object.keys(fields || {}).sort()]);
  async function act(request, waited = false) {
    if (busy) {
      waiting = waiting.filter((each) => !target(request) || target(each) !== target(request));
      waiting.push(request);
      return;
    }
    busy = true;
    one('[data-region="columns"]').classList.add("is-waiting");
    try {
      if (!waited) say("");
      show(await call("act", { ...request, digests }));
    } catch (error) { say(error.message); }
    one('[data-region="columns"]').classList.remove("is-waiting");
    busy = false;
    document.body.dataset.revision = revision;
    if (waiting.length) act(waiting.shift(), true);
  }

  const values = (form) => Object.fromEntries(new FormData(form));
  const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target, given = values(form);
    if (form.id === "subject") act({ do: "change", fields: { prompt: given.prompt, seed: number(given.seed), steps: number(given.steps), guidance_scale: number(given.guidance_scale) } });
    if (form.id === "add") act({ do: "add", path: given.path });
    if (form.id === "guide") act({ do: "guide", method: given.method, concept: given.concept });
    if (form.id === "save") act({ do: "save", name: given.name });
    if (form.id === "concept-form") act({ do: "change", fields: { concept: given.concept, sites: [] } });
    if (form.id === "audit-form") act({ do: "change", fields: { audit: given.audit } });
  });

  document.addEventListener("input", (event) => {
    const field = event.target;
    if (field.id.startsWith("scale-")) one("output", field.parentElement).textContent = Number(field.value).toFixed(2).replace("-", "−");
    if (field.id === "frame") frame(Number(field.value));
  });

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (field.id.startsWith("scale-")) act({ do: "scale", layer: field.id.slice(6), scale: Number(field.value) });
    if (["method", "attack-name"].includes(field.id)) act({ do: "change", fields: { [field.name]: field.value } });
    if (["updates", "budget", "attack-pictures"].includes(field.id)) act({ do: "change", fields: { [field.name]: number(field.value) } });
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const data = button.dataset;
    if (data.takeOff) act({ do: "take off", layer: data.takeOff });
    if (data.on) act({ do: "change", fields: { on: data.on } });
    if (data.work) act({ do: "work", panel: data.work });
    if (data.site) {
      const is = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(is));
      act({ do: "change", fields: { sites: all("[data-site][aria-pressed=true]").map((each) => each.dataset.site) } });
    }
    if (data.top !== undefined) act({ do: "change", fields: { sites: data.top ? data.top.split(",") : [] } });
    if (data.word !== undefined) select(Number(data.word));
    if (data.toFrame) frame(Number(data.toFrame));
    if (data.cell) {
      one("#cell-picture").src = data.picture; one("#cell-text").textContent = data.text;
      for (const each of all("[data-cell]")) each.setAttribute("aria-pressed", String(each === button));
    }
    if (data.copy !== undefined) {
      try { await navigator.clipboard.writeText(one("code", button.parentElement).textContent); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(one("code", button.parentElement)); button.textContent = "Selected"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }
    if (button.id === "close") say("");
    if (button.id === "stop") { button.disabled = true; try { show(await call("stop", { digests })); } finally { button.disabled = false; } }
  });

  function select(index = Number((one("[data-first]") || { dataset: { first: 0 } }).dataset.first)) {
    for (const each of all("[data-shade]")) each.hidden = Number(each.dataset.shade) !== index;
    for (const each of all("[data-word]")) each.setAttribute("aria-pressed", String(Number(each.dataset.word) === index));
  }

  function frame(step) {
    for (const each of all("[data-frame]")) each.hidden = Number(each.dataset.frame) !== step - 1;
    one("#frame-number").textContent = step; one("#frame").value = step;
    const x = 300 * (step - 1) / Math.max(1, all("[data-frame]").length - 1);
    for (const each of all(".cursor")) each.setAttribute("d", `M${x} 0V60`);
  }

  // What another window changed is seen when this one is looked at again.
  window.addEventListener("focus", async () => { try { show(await call("look", { digests })); } catch { /* the studio has ended */ } });
  select();
  act({ do: "draw" });
})();
