// Before and after in one picture, with a line between them that one can drag; thumbnails choose the view.

export function makeComparison(root) {
  const [before, after] = [root.querySelector(".before"), root.querySelector(".after")];
  const [range, caption] = [root.querySelector("input[type=range]"), root.querySelector("figcaption")];
  const marked = root.querySelector("input[type=checkbox]");
  const views = [...root.querySelectorAll(".thumb")];
  let chosen = views[0];

  const split = () => {
    root.style.setProperty("--split", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} percent before, ${100 - range.value} percent after`);
  };
  const show = (view) => {
    chosen = view;
    for (const other of views) other.setAttribute("aria-pressed", String(other === view));
    const pictures = view.querySelectorAll("img");
    before.src = pictures[0].src;
    before.alt = pictures[0].alt;
    const right = pictures[marked.checked ? 2 : 1];
    after.src = right.src;
    after.alt = right.alt;
    caption.textContent = view.dataset.caption;
  };
  range.addEventListener("input", split);
  marked.addEventListener("change", () => show(chosen));
  for (const view of views) view.addEventListener("click", () => show(view));
  split();
  show(chosen);
}
