// What is drawn, by three.js: worlds of blocks where their grids stand, under the sky.

import { Color, ColorManagement, LinearSRGBColorSpace, Matrix4, PerspectiveCamera, Scene, WebGLRenderTarget, WebGLRenderer } from "three";
import { SKY } from "./light.js";

ColorManagement.enabled = false; // colours are numbers here, and stay the numbers they are

/** Where a grid stands in the world: ((x - cx) s, y s, (z - cz) s). */
export function gridToWorld({ center: [cx, cz], scale }) {
  return new Matrix4().makeScale(scale, scale, scale).multiply(new Matrix4().makeTranslation(-cx, 0, -cz));
}

export function makeRenderer(canvas, antialias) {
  const renderer = new WebGLRenderer({ canvas, antialias, powerPreference: "high-performance" });
  renderer.outputColorSpace = LinearSRGBColorSpace;
  renderer.setClearColor(new Color(...SKY), 1);
  return renderer;
}

/** Draws what `camera` sees; when `quick`, only what is nearest by its faces, and the rest by dots (mesh.js). */
export function draw(renderer, scene, camera, quick = false) {
  const height = (renderer.getRenderTarget() ?? renderer.domElement).height;
  for (const group of scene.children) group.choose(camera, height, quick);
  renderer.render(scene, camera);
}

export function makeScene(place, groups) {
  const scene = new Scene();
  for (const group of groups) {
    group.matrixAutoUpdate = false;
    group.matrix.copy(gridToWorld(place));
    scene.add(group);
  }
  scene.updateMatrixWorld(true);
  return scene;
}

/** RGB bytes, top row first, of `scene` as a posed view of a metadata.json sees it; one sample a pixel. */
export function photograph(renderer, scene, view, width, height) {
  const camera = new PerspectiveCamera();
  camera.matrixAutoUpdate = false;
  camera.matrix.fromArray(view.viewMatrix).invert();
  camera.updateMatrixWorld(true);
  camera.projectionMatrix.fromArray(view.projectionMatrix);
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  const target = new WebGLRenderTarget(width, height);
  renderer.setRenderTarget(target);
  draw(renderer, scene, camera);
  const pixels = new Uint8Array(4 * width * height);
  renderer.readRenderTargetPixels(target, 0, 0, width, height, pixels);
  renderer.setRenderTarget(null);
  target.dispose();
  const rgb = new Uint8Array(3 * width * height);
  for (let row = 0, to = 0; row < height; row++)
    for (let i = (height - 1 - row) * width * 4, end = i + width * 4; i < end; i += 4) {
      rgb[to++] = pixels[i];
      rgb[to++] = pixels[i + 1];
      rgb[to++] = pixels[i + 2];
    }
  return rgb;
}
