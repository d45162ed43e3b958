// The page comes alive. All text that is set here is set as text, never as HTML.

import { visibleBlocks } from "./blocks.js";
import { makeCurves } from "./curves.js";
import { History } from "./history.js";
import { BlockMesh } from "./mesh.js";
import { makeRenderer, makeScene, photograph } from "./scene.js";
import { makeComparison } from "./slider.js";
import { makePanel } from "./panel.js";
import { Viewer } from "./viewer.js";

/** Base64 of the RGB bytes of each of `views`, for scripts/photograph_datasets.py. */
async function photographs(world, views, width, height) {
  const history = await History.read(world);
  const mesh = new BlockMesh(world.materials);
  mesh.update(visibleBlocks(history.first, world.shape, world.materials.map((_, index) => index !== 0)));
  const renderer = makeRenderer(document.createElement("canvas"), false);
  const scene = makeScene(world, [mesh]);
  return views.map((view) => {
    const rgb = photograph(renderer, scene, view, width, height);
    return btoa(Array.from(rgb, (byte) => String.fromCharCode(byte)).join(""));
  });
}

async function start() {
  const curves = makeCurves([...document.querySelectorAll(".chart")]);
  const comparison = document.querySelector(".comparison");
  if (comparison) makeComparison(comparison);
  const panel = document.querySelector(".viewer");
  if (!panel) return;
  const world = JSON.parse(document.getElementById("world").textContent);
  try {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const history = await History.read(world);
    const viewer = new Viewer(panel.querySelector("canvas"), world, history, { still });
    globalThis.voxsds.viewer = viewer;
    makePanel(panel, viewer, world, curves);
  } catch (error) {
    panel.querySelector(".message").textContent = `The 3-D view needs WebGL 2, which is not to be had here (${error.message}). The pictures above show the same world.`;
    panel.classList.add("broken");
  }
  document.documentElement.dataset.ready = "true";
}

globalThis.voxsds = { photographs };
start();
