"use strict";
// The consent page: a place in the study, once the rater agrees.
(() => {
  const agree = document.getElementById("agree");
  const join = document.getElementById("join");
  const problem = document.getElementById("problem");
  const entry = document.querySelector("main").dataset.entry;

  agree.addEventListener("change", () => { join.disabled = !agree.checked; });
  join.disabled = !agree.checked;

  join.addEventListener("click", async () => {
    join.disabled = true;
    problem.hidden = true;
    try {
      const reply = await fetch(`/s/${entry}/join`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: "{}",
      });
      const result = await reply.json();
      if (reply.ok) { location.assign(result.link); return; }
      problem.textContent = result.error;
    } catch {
      problem.textContent = "The server cannot be reached. Try again in a moment.";
    }
    problem.hidden = false;
    join.disabled = false;
  });
})();
