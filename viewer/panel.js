// The controls around the 3-D view.

const PLAY_MS = 700; // a moment

export function makePanel(panel, viewer, world, curves) {
  const find = (selector) => panel.querySelector(selector);
  const [scrubber, label, play, note] = [".scrubber", ".moment", ".play", ".changes"].map(find);
  const last = world.moments.length - 1;
  let difference = false;
  let timer;

  const show = (index) => {
    const moment = world.moments[index];
    scrubber.value = index;
    scrubber.setAttribute("aria-valuetext", moment.label);
    label.textContent = moment.label;
    viewer.show(index, difference);
    const { added, removed, repainted, kept } = viewer.counts;
    note.textContent = `${added} added, ${removed} removed, ${repainted} repainted, ${kept} kept`;
    for (const end of panel.querySelectorAll("[data-moment]"))
      end.setAttribute("aria-pressed", String(Number(end.dataset.moment) === index));
    curves.mark(moment.step);
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
  };
  const start = () => {
    if (viewer.moment === last) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      show(viewer.moment + 1);
      if (viewer.moment === last) stop();
    }, PLAY_MS);
  };

  scrubber.max = last;
  scrubber.addEventListener("input", () => {
    stop();
    show(Number(scrubber.value));
  });
  play.addEventListener("click", () => (timer ? stop() : start()));
  for (const end of panel.querySelectorAll("[data-moment]"))
    end.addEventListener("click", () => {
      stop();
      show(Number(end.dataset.moment));
    });
  for (const radio of panel.querySelectorAll("[name=colouring]"))
    radio.addEventListener("change", () => {
      difference = radio.value === "difference";
      panel.classList.toggle("difference", difference);
      show(viewer.moment);
    });
  for (const box of panel.querySelectorAll("[data-fate]"))
    box.addEventListener("change", () => {
      viewer.shown[box.dataset.fate] = box.checked;
      show(viewer.moment);
    });
  makeCameraControls(panel, viewer);
  show(last);
}

function makeCameraControls(panel, viewer) {
  for (const radio of panel.querySelectorAll("[name=camera]"))
    radio.addEventListener("change", () => {
      viewer.setMode(radio.value);
      panel.classList.toggle("flying", radio.value === "fly");
    });
  panel.querySelector(".home").addEventListener("click", () => viewer.placeCamera());
  for (const button of panel.querySelectorAll("[data-move]")) {
    const hold = (on) => () => viewer.fly.hold(button.dataset.move, on);
    button.addEventListener("pointerdown", hold(true));
    for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(name, hold(false));
    button.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") hold(true)();
    });
    button.addEventListener("keyup", hold(false));
  }
}
