// Blocks drawn by three.js: one quad a visible face, of one flat colour each. Faces are not merged: where a
// large quad's edge runs along corners of small ones, pixels between them would show the sky.

import {
  BufferAttribute,
  BufferGeometry,
  Color,
  ColorManagement,
  DataTexture,
  DoubleSide,
  FloatType,
  FrontSide,
  GLSL3,
  Group,
  LinearSRGBColorSpace,
  Matrix4,
  Mesh,
  NearestFilter,
  PerspectiveCamera,
  RGBAFormat,
  RawShaderMaterial,
  Scene,
  Vector3,
  WebGLRenderTarget,
  WebGLRenderer,
} from "three";
import { FACES, SKY, litTable } from "./light.js";

ColorManagement.enabled = false; // colours are numbers here, and stay the numbers they are

const VERTEX = `
precision highp float;
uniform mat4 modelViewMatrix, projectionMatrix;
uniform highp sampler2D lit;
uniform int face;
in vec4 position; // x, y, z of a corner, material
flat out vec3 colour;
void main() {
  colour = texelFetch(lit, ivec2(face, int(position.w)), 0).rgb;
  gl_Position = projectionMatrix * (modelViewMatrix * vec4(position.xyz, 1.0));
}`;
const FRAGMENT = `
precision highp float;
uniform float alpha;
flat in vec3 colour;
out vec4 pixel;
void main() { pixel = vec4(colour, alpha); }`;

/** Corners of a unit block's face, anticlockwise as seen from outside. */
function corners(normal) {
  const axis = normal.findIndex((c) => c !== 0);
  const square = [[0, 0], [1, 0], [1, 1], [0, 1]]; // prettier-ignore
  if (normal[axis] < 0) square.reverse();
  return square.map(([a, b]) => {
    const corner = [0, 0, 0];
    corner[axis] = normal[axis] > 0 ? 1 : 0;
    corner[(axis + 1) % 3] = a;
    corner[(axis + 2) % 3] = b;
    return corner;
  });
}

/** Four vertices a face: x, y, z, material of each. */
function vertices(faces, normal) {
  const array = new Uint16Array(4 * faces.length);
  const square = corners(normal);
  for (let i = 0, to = 0; i < faces.length; i += 4)
    for (const [x, y, z] of square) {
      array[to++] = faces[i] + x;
      array[to++] = faces[i + 1] + y;
      array[to++] = faces[i + 2] + z;
      array[to++] = faces[i + 3];
    }
  return array;
}

/** Two triangles a face. */
function triangles(count) {
  const array = new Uint32Array(6 * count);
  for (let i = 0, to = 0; i < 4 * count; i += 4) {
    array[to++] = i;
    array[to++] = i + 1;
    array[to++] = i + 2;
    array[to++] = i;
    array[to++] = i + 2;
    array[to++] = i + 3;
  }
  return array;
}

/** The faces of blocks of certain materials, as a group of one mesh a direction. */
export class BlockMesh extends Group {
  constructor(materials, alpha = 1) {
    super();
    const table = new DataTexture(litTable(materials), FACES.length, materials.length, RGBAFormat, FloatType);
    table.magFilter = table.minFilter = NearestFilter;
    table.needsUpdate = true;
    FACES.forEach(({ normal }, face) => {
      const material = new RawShaderMaterial({
        glslVersion: GLSL3,
        vertexShader: VERTEX,
        fragmentShader: FRAGMENT,
        uniforms: { lit: { value: table }, face: { value: face }, alpha: { value: alpha } },
        transparent: alpha < 1,
        depthWrite: alpha === 1,
        side: alpha < 1 ? DoubleSide : FrontSide,
      });
      const mesh = new Mesh(new BufferGeometry(), material);
      mesh.frustumCulled = false; // a mesh spans the whole world
      mesh.userData = { axis: normal.findIndex((c) => c !== 0), sign: normal.find((c) => c !== 0) };
      this.add(mesh);
    });
  }

  /** Shows `faces`, as visibleFaces gives them. */
  update(faces) {
    this.count = faces.reduce((sum, array) => sum + array.length / 4, 0);
    this.children.forEach((mesh, face) => {
      mesh.geometry.dispose();
      const count = faces[face].length / 4;
      const geometry = (mesh.geometry = new BufferGeometry());
      geometry.setAttribute("position", new BufferAttribute(vertices(faces[face], FACES[face].normal), 4));
      geometry.setIndex(new BufferAttribute(triangles(count), 1));
      let [low, high] = [Infinity, -Infinity];
      for (let i = mesh.userData.axis; i < faces[face].length; i += 4) {
        low = Math.min(low, faces[face][i]);
        high = Math.max(high, faces[face][i]);
      }
      Object.assign(mesh.userData, { low, high, count });
    });
  }

  /** Leaves out the directions that turn their back on `eye` (grid coordinates) everywhere. */
  cull(eye) {
    for (const mesh of this.children) {
      const { axis, sign, low, high, count } = mesh.userData;
      const at = eye.getComponent(axis);
      const seen = sign > 0 ? at > low + 1 : at < high;
      mesh.visible = count > 0 && seen;
    }
  }
}

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

export function draw(renderer, scene, camera) {
  const eye = new Vector3();
  for (const group of scene.children) {
    eye.setFromMatrixPosition(camera.matrixWorld).applyMatrix4(group.matrixWorld.clone().invert());
    group.cull(eye);
  }
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
