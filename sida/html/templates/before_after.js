for (const figure of document.querySelectorAll(".before-after")) {
  const [after, range, blink, mark, marked] =
    [".after", "input", ".blink", ".mark", ".marked"].map(name => figure.querySelector(name));
  const cut = percent => { after.style.clipPath = `inset(0 0 0 ${percent}%)`; };
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    blink.setAttribute("aria-pressed", "false");
    cut(range.value);
  };
  range.addEventListener("input", stop);
  blink.addEventListener("click", () => {
    if (timer) return stop();
    let shown = false;
    const turn = () => { shown = !shown; cut(shown ? 0 : 100); };
    turn();
    timer = setInterval(turn, 700); // well below three a second, which can cause seizures
    blink.setAttribute("aria-pressed", "true");
  });
  mark?.addEventListener("click", () => {
    marked.hidden = !marked.hidden;
    mark.setAttribute("aria-pressed", String(!marked.hidden));
  });
  cut(range.value);
}
