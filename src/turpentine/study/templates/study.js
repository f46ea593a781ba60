"use strict";
// A rater's page: shows a trial, sends the answer until it is stored, and shows the next one.
(() => {
  const at = (id) => document.getElementById(id);
  const base = `/r/${at("study").dataset.token}`;
  const CHOICES = {
    rating: [["1", "1"], ["2", "2"], ["3", "3"], ["4", "4"], ["5", "5"]],
    presence: [["yes", "Yes", "y"], ["no", "No", "n"], ["unsure", "Not sure", "u"]],
    choice: [["left", "Left", "ArrowLeft"], ["tie", "No difference", "ArrowDown"], ["right", "Right", "ArrowRight"]],
  };
  const KEYS = {
    rating: "Keys: 1 to 5.",
    presence: "Keys: Y, N, U.",
    choice: "Keys: ← left, → right, ↓ no difference.",
  };
  const ENDS = {
    done: ["Thank you.", "That was the last picture. All your answers are stored. You can close this page."],
    stopped: ["Thank you.", "You have stopped, and the answers up to here are stored. You can close this page."],
    unqualified: ["Thank you for trying.", "In the first pictures your answers differ from what they show, so that the study ends here for you. That says nothing about you: the pictures are odd."],
    deleted: ["Deleted.", "All your answers are deleted, and this link leads nowhere now."],
  };
  const revealed = new Set(); // a picture that was shown stays so in its next question
  let state = null, since = 0, is_busy = true, upcoming = null;

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  function complain(text) {
    at("problem").textContent = text;
    at("problem").hidden = !text;
  }

  // Ask until there is an answer: a server that is away for a moment loses nothing.
  async function request(path, body) {
    for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
      try {
        const options = body === undefined ? {} : {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
        };
        const reply = await fetch(base + path, { cache: "no-store", ...options });
        if (reply.ok) { complain(""); return await reply.json(); }
        if (![429, 500, 502, 503, 504].includes(reply.status)) {
          const { error } = await reply.json().catch(() => ({}));
          throw new Refused(error || "The server refused this. Reload the page.");
        }
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      complain("The server does not answer. Your answer waits here and is sent again. Leave the page open.");
      await wait(pause);
    }
  }
  class Refused extends Error {}

  async function attempt(work) {
    is_busy = true;
    try { await work(); } catch (error) { complain(error.message); }
  }

  function picture({ url, blur }, name) {
    const figure = document.createElement("figure");
    const image = new Image();
    image.alt = name;
    image.src = url;
    image.addEventListener("load", () => {
      figure.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= state.trial?.pixels);
    });
    figure.append(image);
    if (blur && !revealed.has(url)) {
      figure.classList.add("blurred");
      const show = document.createElement("button");
      show.className = "reveal";
      show.textContent = "Show (S)";
      show.addEventListener("click", () => reveal(figure));
      figure.dataset.url = url;
      figure.append(show);
    }
    return figure;
  }

  function reveal(figure) {
    figure.classList.remove("blurred");
    revealed.add(figure.dataset.url);
    figure.querySelector(".reveal")?.remove();
  }

  async function show(next) {
    state = next;
    const trial = next.trial;
    at("trial").hidden = !trial;
    at("end").hidden = Boolean(trial);
    at("leave").hidden = !trial;
    if (!trial) { finish(next.state); return; }
    at("where").textContent = `${trial.warmup ? "To begin with" : "Question"} ${trial.step} of ${trial.of}`;
    at("progress").max = trial.of;
    at("progress").value = trial.step - 1;
    at("text").textContent = trial.text;
    at("keys").textContent = KEYS[trial.kind];
    at("explanation").hidden = at("onward").hidden = true;
    at("given").hidden = !trial.examples.length;
    at("given-title").textContent = trial.examples_title;
    at("examples").replaceChildren(...trial.examples.map((each, n) => picture(each, `Example ${n + 1}`)));
    const names = trial.kind === "choice" ? ["Left picture", "Right picture"] : ["The picture"];
    at("pictures").className = `pictures ${trial.kind}`;
    at("pictures").replaceChildren(...trial.pictures.map((each, n) => picture(each, names[n])));
    showAnswers(trial);
    setEnabled(false);
    await Promise.allSettled([...document.querySelectorAll("#trial img")].map((image) => image.decode()));
    setEnabled(true);
    is_busy = false;
    since = performance.now();
    for (const url of next.ahead || []) new Image().src = url;
  }

  function showAnswers(trial) {
    const buttons = CHOICES[trial.kind].map(([value, label]) => {
      const button = document.createElement("button");
      button.dataset.value = value;
      button.textContent = label;
      button.addEventListener("click", () => answer(value));
      return button;
    });
    if (trial.kind === "rating") {
      buttons[0].setAttribute("aria-label", `1: ${trial.low}`);
      buttons[4].setAttribute("aria-label", `5: ${trial.high}`);
    }
    at("answers").className = `answers ${trial.kind}`;
    at("answers").replaceChildren(...buttons);
    if (trial.kind === "rating") {
      const [low, high] = [trial.low, trial.high].map((text) => {
        const label = document.createElement("span");
        label.textContent = text;
        label.setAttribute("aria-hidden", "true");
        return label;
      });
      high.className = "high";
      at("answers").append(low, high);
    }
  }

  function setEnabled(is_enabled) {
    for (const button of at("answers").querySelectorAll("button")) button.disabled = !is_enabled;
  }

  function answer(value) {
    if (is_busy || !state?.trial || upcoming) return;
    const ms = Math.round(performance.now() - since);
    attempt(async () => {
      setEnabled(false);
      at("answers").querySelector(`[data-value="${value}"]`).classList.add("chosen");
      const next = await request("/answers", { trial: state.trial.number, value, ms });
      if (next.explanation === undefined) { await show(next); return; }
      upcoming = next;
      at("explanation").textContent = `${next.right ? "Right." : "Not quite."} ${next.explanation}`;
      at("explanation").classList.toggle("off", !next.right);
      at("explanation").hidden = at("onward").hidden = false;
      at("onward").focus();
    });
  }

  at("onward").addEventListener("click", () => {
    const next = upcoming;
    upcoming = null;
    attempt(() => show(next));
  });

  function finish(name) {
    at("bar").hidden = true;
    const [title, text] = ENDS[name] || ENDS.stopped;
    at("where").textContent = "";
    at("end-title").textContent = title;
    at("end-text").textContent = text;
    at("delete").hidden = at("link-note").hidden = name === "deleted";
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || at("ask").open || !state?.trial) return;
    if (event.key.toLowerCase() === "s") {
      document.querySelectorAll("#trial .blurred").forEach(reveal);
      return;
    }
    const chosen = CHOICES[state.trial.kind].find(([value, , key]) => (key || value).toLowerCase() === event.key.toLowerCase());
    if (chosen) { event.preventDefault(); answer(chosen[0]); }
  });

  function ask(is_over) {
    at("ask-title").textContent = is_over ? "Delete your answers?" : "Stop here?";
    at("ask-text").textContent = is_over
      ? "They are removed for good."
      : "Your answers so far can stay, or be deleted now. With your link you can also delete them later.";
    at("stop").hidden = is_over;
    at("go-on").textContent = is_over ? "Keep them" : "Go on with the study";
    at("forget").textContent = is_over ? "Delete them" : "Stop and delete my answers";
    at("ask").showModal();
  }
  at("leave").addEventListener("click", () => ask(false));
  at("delete").addEventListener("click", () => ask(true));
  at("go-on").addEventListener("click", () => at("ask").close());
  for (const [id, path] of [["stop", "/stop"], ["forget", "/delete"]]) {
    at(id).addEventListener("click", () => {
      at("ask").close();
      attempt(async () => { await show(await request(path, {})); });
    });
  }
  at("copy").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(location.href).catch(() => {});
    at("copy").textContent = "Copied";
  });

  attempt(async () => { await show(await request("/next")); });
})();
